"""What bad input gets from the command: one message, a hint, exit code 1, the state as it was."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from iacorch.cli.main import main
from tests.infra.engine.conftest import PASSPHRASE, World
from tests.infra.engine.processes import plugin_folder, start, until


class Command:
    """`iacorch` in this process: exit code, and what it said to people who wait for errors."""

    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self.world, self._capsys = world, capsys

    def __call__(self, *words: str, stack: str = "dev", backend: str = "") -> tuple[int, str]:
        ref = self.world.ref
        options = ["--cwd", str(ref.work_dir), "--backend", backend or ref.backend_url]
        if words[0] != "stack":
            options += ["--engine", "builtin", "--stack", stack, "--yes"]
        with pytest.raises(SystemExit) as ended:
            main([*words, *options])
        return int(ended.value.code or 0), self._capsys.readouterr().err


@pytest.fixture
def iacorch(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    path = os.pathsep.join([str(plugin_folder(world)), os.environ["PATH"]])
    for name, value in {**world.environment, "PATH": path, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    return Command(world, capsys)


def hold(world: World) -> None:
    path = world.root / "state/.pulumi/locks/organization/proj/dev/other.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    host = os.uname().nodename
    path.write_bytes(orjson.dumps({"pid": os.getpid(), "hostname": host, "username": "ada", "timestamp": "now"}))


def half(world: World) -> None:
    world.whole = False
    world.state_file.write_bytes(world.state_file.read_bytes()[:200])


def unproject(world: World) -> None:
    (world.ref.work_dir / "Pulumi.yaml").unlink()


def says(program: str) -> Callable[[World], None]:
    return lambda world: world.program(program + "\n")


def test_what_failed_is_said_once_where_everything_is_read_in_one_place(world: World, iacorch: Command) -> None:
    world.program('Thing("b", fail="no room left")\n')
    iacorch("stack", "init", "dev")
    process = start(world, "up", "--yes", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1, text
    assert text.count("no room left") == 1
    assert "error: up failed at Thing b, as said above" in text
    assert "urn:pulumi" not in text
    code, err = iacorch("up")  # here the two are read apart
    assert (code, "error: Thing b: " in err, "no room left" in err) == (1, True, True)


async def test_ctrl_c_says_at_once_what_is_finished_and_at_the_end_how_far_it_came(world: World) -> None:
    world.program('a = Thing("a", gate=True)\nThing("b", value=a.address)\n')
    await world.builtin().create_stack(world.ref)
    process = start(world, "up", "--yes", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        await until(lambda: (world.things / "making-a-0").exists(), "the provider is making a")
        process.send_signal(signal.SIGINT)
        lines = iter(process.stdout.readline, b"")
        said = next(line for line in lines if b"interrupted" in line).decode()
        assert "finishing create Thing a" in said
        assert b"Ctrl-C again" in next(lines)
        (world.things / "open").touch()
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "done; `iacorch up` goes on from there" in err.decode()
    assert world.there() == ["a-0"]


CASES = [
    pytest.param(says("1 / 0"), {}, "ZeroDivisionError", "", id="a program that raises"),
    pytest.param(says('Thing("b", die=True)'), {}, "ended during Create of", "run the same command", id="plugin dies"),
    pytest.param(says('pulumi.CustomResource("no:a:B", "b", {})'), {}, "no provider plugin", "install", id="no plugin"),
    pytest.param(says('Thing("b", fail="no room left")'), {}, "no room left", "", id="a provider that refuses"),
    pytest.param(hold, {}, "locked by ada@", "stack unlock dev", id="a lock that is held"),
    pytest.param(half, {}, "dev.json is not JSON", ".bak", id="a broken state file"),
    pytest.param(unproject, {}, "Pulumi.yaml does not exist", "--cwd", id="no project"),
    pytest.param(says(""), {"stack": "nope"}, "no stack nope", "stack init nope", id="an unknown stack"),
    pytest.param(says(""), {"stack": "a/b"}, "cannot be a stack's name", "", id="no name for a stack"),
    pytest.param(says(""), {"backend": "s3://b"}, "does not support the backend", "Pulumi CLI", id="another backend"),
]


@pytest.mark.parametrize(("spoil", "options", "said", "hint"), CASES)
def test_up_fails_with_one_message_and_leaves_the_state(
    world: World, iacorch: Command, spoil: Callable[[World], None], options: dict[str, str], said: str, hint: str
) -> None:
    world.program('Thing("a")\n')
    assert iacorch("stack", "init", "dev")[0] == 0
    assert iacorch("up")[0] == 0
    spoil(world)
    before = world.state_file.read_bytes()
    code, err = iacorch("up", **options)
    assert code == 1
    assert err.startswith("error: ")
    assert said in err
    assert hint in err.partition("hint: ")[2]
    assert "Traceback" not in err
    if before.endswith(b"}\n"):
        names = [r["urn"] for r in orjson.loads(before)["checkpoint"]["latest"]["resources"]]
        assert [r["urn"] for r in world.latest()["resources"]][: len(names)] == names
    else:
        assert world.state_file.read_bytes() == before


@pytest.mark.parametrize("passphrase", ["wrong", None])
def test_a_wrong_or_missing_passphrase(
    world: World, iacorch: Command, monkeypatch: pytest.MonkeyPatch, passphrase: str | None
) -> None:
    world.program('Thing("a", token=pulumi.Output.secret("x"))\n')
    iacorch("stack", "init", "dev")
    iacorch("up")
    before = world.state_file.read_bytes()
    if passphrase is None:
        monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    else:
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", passphrase)
    for command in ("up", "preview", "refresh", "destroy"):
        code, err = iacorch(command)
        assert (code, "passphrase" in err) == (1, True), err
        assert "PULUMI_CONFIG_PASSPHRASE" in err.partition("hint: ")[2]
    assert world.state_file.read_bytes() == before


@pytest.fixture
def small_disk(world: World) -> Iterator[Path]:
    """The state's folder on a disk of its own, with room for little."""
    folder = world.root / "state"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs more rights")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_loses_nothing_and_the_next_run_goes_on(world: World, iacorch: Command, small_disk: Path) -> None:
    world.program('Thing("a")\n')
    assert iacorch("stack", "init", "dev")[0] == 0
    assert iacorch("up")[0] == 0
    before = world.latest()
    world.program('a = Thing("a")\nThing("b", value="x" * 300_000, opts=Opts(depends_on=[a]))\n')
    code, err = iacorch("up")
    assert code == 1
    assert "dev.json cannot be written: No space left on device" in err
    assert "make room" in err
    assert [r["urn"] for r in world.latest()["resources"]] == [r["urn"] for r in before["resources"]]
    assert world.there() == ["a-0"], "what cannot be noted is not begun"
    assert not list(small_disk.rglob("*.new"))
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert iacorch("up")[0] == 0
    assert world.there() == ["a-0", "b-0"]


def test_expecting_no_changes_fails_when_there_are_some(world: World, iacorch: Command) -> None:
    world.program('Thing("a")\n')
    assert iacorch("stack", "init", "dev")[0] == 0
    code, err = iacorch("preview", "--expect-no-changes")
    assert (code, "no changes were expected" in err) == (1, True)
    assert iacorch("up")[0] == 0
    assert iacorch("preview", "--expect-no-changes")[0] == 0


def test_an_event_log_has_every_event_and_no_secret(world: World, iacorch: Command, tmp_path: Path) -> None:
    world.program('Thing("a", token=pulumi.Output.secret("s3cret"))\n')
    assert iacorch("stack", "init", "dev")[0] == 0
    log = tmp_path / "events.jsonl"
    assert iacorch("up", "--event-log", str(log))[0] == 0
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert [e["op"] for e in events if e["event"] == "ResourceDone" and e["urn"].endswith("::a")] == ["create"]
    assert events[-1]["event"] == "Summary"
    assert all(event["time"] for event in events)
    assert "s3cret" not in log.read_text()
    code, err = iacorch("up", "--event-log", str(tmp_path / "nowhere" / "log"))
    assert (code, "--event-log" in err) == (1, True)
