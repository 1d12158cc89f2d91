"""`iacorch new` and `iacorch kubeconfig`: from an empty folder to a project whose program runs."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from iacorch.cli.commands.new import programs
from iacorch.cli.main import cli
from iacorch.cli.project import Host, files, hosts_of
from iacorch.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host"),
    [
        pytest.param("10.0.0.1", Host("machine-1", "10.0.0.1"), id="an address"),
        pytest.param("debian@rack.example:2222", Host("machine-1", "rack.example", "debian", 2222), id="user and port"),
        pytest.param("cp=10.0.0.1", Host("cp", "10.0.0.1"), id="a name"),
        pytest.param("cp=root@[fd00::1]:22", Host("cp", "fd00::1"), id="IPv6 in brackets"),
    ],
)
def test_a_host_is_typed_as_for_ssh(text: str, host: Host) -> None:
    assert hosts_of([text]) == (host,)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        pytest.param(["a@b@c"], "is no host", id="two users"),
        pytest.param(["Rack=10.0.0.1"], "is no name for a machine", id="capitals"),
        pytest.param(["10.0.0.1:70000"], "70000 is no port", id="port"),
        pytest.param(["a=10.0.0.1", "a=10.0.0.2"], "two hosts have the name a", id="name twice"),
        pytest.param(["10.0.0.1", "10.0.0.1"], "two hosts have the address 10.0.0.1", id="machine twice"),
    ],
)
def test_hosts_that_will_not_do_are_said(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        hosts_of(texts)


def test_two_machines_behind_one_address_are_two() -> None:
    assert [host.port for host in hosts_of(["10.0.0.1:2201", "10.0.0.1:2202"])] == [2201, 2202]


def test_a_single_host_is_a_node_too_and_stays_one_when_more_come() -> None:
    def settings(*texts: str) -> dict[str, object]:
        made = files("shop", stack="prod", program="", requirement="iacorch", hosts=hosts_of(texts))
        read: dict[str, object] = yaml.safe_load(made["Pulumi.prod.yaml"])["config"]
        return read

    assert settings("one=10.0.0.1") == {
        "shop:hosts": [{"name": "one", "address": "10.0.0.1"}],
        "shop:first_is_node": "true",
    }
    assert "shop:first_is_node" not in settings("10.0.0.1", "10.0.0.2")


def key_file(folder: Path, *, passphrase: str = "") -> Path:
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


def run(*words: str, home: Path, **environment: str) -> Result:
    unset = dict.fromkeys(("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"))
    return CliRunner(env={**unset, "PULUMI_STACK": None, "HOME": str(home), **environment}).invoke(cli, [*words])


async def test_a_new_project_is_ready_for_preview(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    made = await asyncio.to_thread(
        run, "new", str(shop), "cp=10.0.0.1", "debian@10.0.0.2", "--key", str(key_file(tmp_path)), home=tmp_path
    )
    assert made.exit_code == 0, made.output
    assert "iacorch up" in made.output
    assert stat.S_IMODE((shop / ".iacorch/passphrase").stat().st_mode) == 0o600
    settings = (shop / "Pulumi.prod.yaml").read_text()
    assert "PRIVATE KEY" not in settings

    # In a folder where nothing says which stack or passphrase: both are found beside the project.
    opened = await asyncio.to_thread(run, "config", "get", "ssh_private_key", "--cwd", str(shop), home=tmp_path)
    assert opened.output.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    # A process of its own: the program must not see what this one has imported.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "iacorch.cli.main", "preview", "--engine", "builtin", "--cwd", str(shop)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert "Node machine-2" in told.decode()
    assert "Node cp" not in told.decode()

    again = await asyncio.to_thread(run, "new", str(shop), home=tmp_path)
    assert isinstance(again.exception, ConfigError)
    assert "has .gitignore and Pulumi.yaml and" in again.exception.message
    assert (shop / "Pulumi.prod.yaml").read_text() == settings


def test_a_key_with_a_passphrase_of_its_own_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    key = key_file(tmp_path, passphrase="my own")
    made = run("new", str(tmp_path / "shop"), "10.0.0.1", "--key", str(key), home=tmp_path)
    assert isinstance(made.exception, ConfigError)
    assert "without a passphrase" in made.exception.hint
    assert not (tmp_path / "shop").exists()


def test_a_key_of_ones_own_that_cannot_be_used_is_passed_over_for_one_that_can(tmp_path: Path) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    key_file(folder, passphrase="my own").rename(folder / "id_ed25519")
    (folder / "key.pub").unlink()
    key_file(folder).rename(folder / "id_ecdsa")
    made = run("new", str(tmp_path / "shop"), "10.0.0.1", home=tmp_path)
    assert made.exit_code == 0, made.output
    assert f"opened with {folder / 'id_ecdsa'}" in made.output


def test_the_variables_that_later_commands_obey_are_obeyed_from_the_beginning(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    elsewhere = {"PULUMI_BACKEND_URL": f"file://{tmp_path}/states", "PULUMI_CONFIG_PASSPHRASE": "mine"}
    made = run("new", str(shop), home=tmp_path, **elsewhere)
    assert f"its states are kept in file://{tmp_path}/states, as PULUMI_BACKEND_URL says" in made.output
    assert "the secrets' passphrase is the one of PULUMI_CONFIG_PASSPHRASE" in made.output
    assert run("stack", "ls", "--cwd", str(shop), home=tmp_path, **elsewhere).output == "prod*\n"
    assert not (shop / ".iacorch/state").exists()


def test_a_new_project_says_where_its_state_and_its_passphrase_are(tmp_path: Path) -> None:
    made = run("new", str(tmp_path / "shop"), home=tmp_path)
    assert f"its states are kept in {tmp_path}/shop/.iacorch/state" in made.output
    assert f"the secrets' passphrase is in {tmp_path}/shop/.iacorch/passphrase" in made.output


def test_without_a_key_it_says_so_and_how_to_give_one(tmp_path: Path) -> None:
    made = run("new", str(tmp_path / "shop"), "10.0.0.1", home=tmp_path)
    assert "no SSH key was found" in made.output
    assert "iacorch config set --secret ssh_private_key" in made.output


@pytest.mark.parametrize("program", sorted(set(programs()) - {"hosts"}))
def test_every_program_can_be_begun_with(program: str, tmp_path: Path) -> None:
    made = run("new", str(tmp_path / "shop"), "--program", program, home=tmp_path)
    assert made.exit_code == 0, made.output
    assert (tmp_path / "shop" / "__main__.py").read_text() == programs()[program]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--program", "azure"), "there is no program 'azure'", id="unknown program"),
        pytest.param(("--program", "hosts"), "no host is named", id="no hosts"),
        pytest.param(("10.0.0.1", "--program", "qemu"), "has no hosts", id="hosts it does not read"),
        pytest.param(("--stack", "a/b"), "is no name for a stack", id="stack"),
        pytest.param(("--name", "-shop"), "is no name for a project", id="name"),
    ],
)
def test_what_will_not_do_is_said_before_anything_is_written(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    made = run("new", str(tmp_path / "shop"), *words, home=tmp_path)
    assert isinstance(made.exception, ConfigError)
    assert said in made.exception.message
    assert not (tmp_path / "shop").exists()


def test_where_the_stack_cannot_be_made_nothing_is_left_of_the_project(tmp_path: Path) -> None:
    state = tmp_path / "shop" / ".iacorch/state/.pulumi/stacks/shop/prod.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"version": 3, "checkpoint": {}}')
    made = run("new", str(tmp_path / "shop"), home=tmp_path)
    assert made.exit_code != 0
    assert "prod" in str(made.exception)
    assert [path for path in (tmp_path / "shop").rglob("*") if path.is_file()] == [state]


def test_the_kubeconfig_comes_out_of_the_state(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    run("new", str(shop), home=tmp_path)
    before = run("kubeconfig", "--cwd", str(shop), home=tmp_path)
    assert isinstance(before.exception, ConfigError)
    assert "iacorch up" in before.exception.hint

    stack = {
        "urn": "urn:pulumi:prod::shop::pulumi:pulumi:Stack::shop-prod",
        "type": "pulumi:pulumi:Stack",
        "custom": False,
        "outputs": {"kubeconfig": "apiVersion: v1"},
    }
    state = shop / ".iacorch/state/.pulumi/stacks/shop/prod.json"
    document = json.loads(state.read_text())
    document["checkpoint"]["latest"] = {"manifest": {}, "resources": [stack]}
    state.write_text(json.dumps(document))
    after = run("kubeconfig", "--cwd", str(shop), home=tmp_path)
    path = shop / ".iacorch/kubeconfig"
    assert after.output.splitlines()[0] == str(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("apiVersion: v1", 0o600)
    assert run("kubeconfig", "--cwd", str(shop), "--out", "-", home=tmp_path).output == "apiVersion: v1\n"
