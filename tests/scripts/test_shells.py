"""`scripts/environment` in a person's shell, `scripts/settings` in a script's, and what `scripts/down` leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELLS = [pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=name)) for name in ("bash", "zsh")]
OURS = ("PULUMI_", "IACORCH_", "KUBECONFIG")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the scripts need of a clone, with the virtual environment that runs this."""
    place = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", place / "scripts")
    (place / "iacorch/cli").mkdir(parents=True)
    (place / ".venv").symlink_to(sys.prefix)
    (place / "Pulumi.yaml").write_text("name: iacorch\nruntime: python\n")
    (place / "__main__.py").write_text("")
    return place


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        command, cwd=cwd, env={**bare, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


def exported(shell: str, script: Path, *, cwd: Path, **environment: str) -> dict[str, str]:
    done = run(shell, "-c", f". '{script}' && env -0", cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_environment_is_the_clones_wherever_the_shell_is(shell: str, clone: Path, tmp_path: Path) -> None:
    (clone / ".iacorch").mkdir()
    (clone / ".iacorch/kubeconfig").write_text("")
    has = exported(shell, clone / "scripts/environment", cwd=tmp_path)
    assert has["PATH"].startswith(f"{clone}/.venv/bin:{clone}/.tools/bin:")
    assert has["KUBECONFIG"] == f"{clone}/.iacorch/kubeconfig"


def test_a_shell_of_a_person_is_told_no_state_and_no_passphrase(clone: Path) -> None:
    has = exported("bash", clone / "scripts/environment", cwd=clone)
    assert {name for name in has if name.startswith(OURS)} == {"IACORCH_ENGINE", "IACORCH_CACHE_DIR"}


def test_a_shell_that_does_not_know_the_file_is_given_nothing(clone: Path, tmp_path: Path) -> None:
    text = f". '{clone}/scripts/environment'; echo $?; env"
    done = run("dash" if shutil.which("dash") else "sh", "-c", text, cwd=tmp_path)
    if "BASH" in done.stdout or done.stdout.startswith("0"):
        pytest.skip("this sh is bash")
    assert done.stdout.startswith("1\n")
    assert "IACORCH" not in done.stdout
    assert "cd to it first" in done.stderr
    assert exported("sh", Path("./scripts/environment"), cwd=clone)["IACORCH_CACHE_DIR"].startswith(str(clone))


def test_variables_of_pulumi_that_lead_elsewhere_are_said(clone: Path) -> None:
    done = run(
        "bash", "-c", ". scripts/environment", cwd=clone, PULUMI_BACKEND_URL="s3://b", PULUMI_CONFIG_PASSPHRASE=""
    )
    assert "PULUMI_BACKEND_URL is set" in done.stderr
    assert "PULUMI_CONFIG_PASSPHRASE or" in done.stderr
    assert "is set" not in run("bash", "-c", ". scripts/environment", cwd=clone).stderr


def test_scripts_work_on_the_clones_own_state_whatever_the_person_has_set(clone: Path) -> None:
    has = exported(
        "bash", Path("scripts/settings"), cwd=clone, PULUMI_BACKEND_URL="s3://b", PULUMI_CONFIG_PASSPHRASE="x"
    )
    assert has["PULUMI_BACKEND_URL"] == f"file://{clone}/.iacorch/state"
    assert "PULUMI_CONFIG_PASSPHRASE" not in has


def test_down_keeps_the_states_of_others_and_what_opens_them(clone: Path, tmp_path: Path) -> None:
    state = f"file://{clone}/.iacorch/state"
    made = run(
        sys.executable, "-m", "iacorch.cli.main", "new", "shop", cwd=tmp_path, PULUMI_BACKEND_URL=state,
        PULUMI_CONFIG_PASSPHRASE="x", HOME=str(tmp_path),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (clone / ".iacorch/passphrase").write_text("pass\n")
    (clone / ".iacorch/kubeconfig").write_text("")
    for word in ("workers", "api_port"):
        assert (
            run(sys.executable, "-m", "iacorch.cli.main", "stack", "select", "--create", "local", cwd=clone).returncode
            == 0
        )
        run(sys.executable, "-m", "iacorch.cli.main", "config", "set", word, "3", cwd=clone)

    down = run("scripts/down", cwd=clone, KEEP_IMAGES="1", STACK="none")
    assert down.returncode == 0, down.stderr
    assert "shop/prod" in down.stderr
    assert "iacorch/local" in down.stderr
    assert (clone / ".iacorch/state/.pulumi/stacks/shop/prod.json").exists()
    assert (clone / ".iacorch/passphrase").exists()
    assert not (clone / ".iacorch/kubeconfig").exists()

    for path in (clone / ".iacorch/state/.pulumi/stacks").glob("*/*.json"):
        path.unlink()
    down = run("scripts/down", cwd=clone, KEEP_IMAGES="1")
    assert down.returncode == 0, down.stderr
    assert ".iacorch with state, passphrase and kubeconfig is gone too" in down.stderr
    assert "Pulumi.local.yaml, what you have set: workers " in down.stderr
    assert not (clone / ".iacorch").exists()
