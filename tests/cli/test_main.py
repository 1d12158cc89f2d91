"""The command line as a person meets it: help, errors, and a whole life of a stack without resources of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from iacorch.cli import main as cli
from iacorch.cli.progress import describe, label, summary
from iacorch.infra.engine.contract import Change, Op, ResourceDone, Result

PROGRAM = 'import pulumi\npulumi.export("greeting", pulumi.Config().require("word"))\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: proj\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    for name in ("PULUMI_BACKEND_URL", "PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "pass")
    monkeypatch.setenv("IACORCH_ENGINE", "builtin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_help_names_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert name in out
    check = "import sys, iacorch.cli.main; sys.exit('pulumi' in sys.modules or 'grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("name", sorted({"up", "preview", "refresh", "destroy", "stack", "config"}))
def test_every_command_of_deployments_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "Usage" in out


def test_the_life_of_a_stack(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    assert run(capsys, "stack", "init", "dev")[0] == 0
    assert run(capsys, "config", "set", "word", "hello")[0] == 0
    assert run(capsys, "config", "set", "key", "hunter2", "--secret")[0] == 0
    assert run(capsys, "config", "get", "key")[1] == "hunter2\n"
    assert "[secret]" in run(capsys, "config", "ls")[1]
    assert "hunter2" not in (project / "Pulumi.dev.yaml").read_text()
    code, out, _ = run(capsys, "up", "--yes", "--json")
    assert code == 0
    last = orjson.loads(out.splitlines()[-1])
    assert last["changes"] == {"create": 1}
    assert last["outputs"] == {"greeting": "hello"}
    assert run(capsys, "stack", "output", "greeting")[1] == "hello\n"
    assert "update" in run(capsys, "stack", "history")[1]
    exported = run(capsys, "stack", "export")[1]
    assert orjson.loads(exported)["version"] == 3
    (project / "kept.json").write_text(exported)
    assert "imported 1 resources" in run(capsys, "stack", "import", "--file", "kept.json")[1]
    assert run(capsys, "destroy", "--yes")[0] == 0
    assert run(capsys, "stack", "rm", "dev")[0] == 0
    assert run(capsys, "stack", "ls")[1] == ""


def test_an_error_is_one_message_one_hint_and_exit_code_1(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    code, out, err = run(capsys, "up", "--yes", "--stack", "nowhere")
    assert code == 1
    assert "no stack nowhere of project proj" in err
    assert "hint: make it with: iacorch stack init nowhere" in err
    assert "Traceback" not in out + err


def test_without_a_stack_the_error_says_how_to_choose_one(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    code, _, err = run(capsys, "preview")
    assert code == 1
    assert "iacorch stack init" in err


def test_nobody_is_asked_where_nobody_can_answer(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    assert run(capsys, "stack", "init", "dev")[0] == 0
    code, _, err = run(capsys, "destroy")
    assert code == 1
    assert "--yes" in err


def test_no_command_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert "Commands:" in out


def test_a_setting_that_nothing_reads_is_warned_of(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    run(capsys, "stack", "init", "dev")
    assert run(capsys, "config", "set", "word", "hello") == (0, "", "")
    code, _, err = run(capsys, "config", "set", "wordy", "hello")
    assert code == 0
    assert err == (
        "written to Pulumi.dev.yaml; but no file of the program reads the setting wordy; did you mean word?\n"
        "  to remove it: iacorch config rm wordy\n"
    )
    assert run(capsys, "config", "set", "aws:wordy", "hello") == (0, "", ""), "somebody else's are not ours to judge"
    code, _, err = run(capsys, "config", "get", "words")
    assert code == 1
    assert "did you mean word" in err


def test_a_name_that_was_mistyped_is_guessed(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    run(capsys, "stack", "init", "production")
    _, _, err = run(capsys, "stack", "select", "prodution")
    assert "did you mean production?" in err
    _, _, err = run(capsys, "stack", "output", "kubeconfig")
    assert "has no output 'kubeconfig'" in err


def test_changes_have_an_exit_code_where_it_is_asked_for(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    run(capsys, "stack", "init", "dev")
    run(capsys, "config", "set", "word", "hello")
    assert run(capsys, "preview")[0] == 0
    assert run(capsys, "preview", "--detailed-exitcode")[0] == 2
    code, out, err = run(capsys, "up", "--yes", "--target", "nothing")
    assert "no resource is called nothing" in err
    code, out, err = run(capsys, "up", "--yes")
    assert code == 0
    assert run(capsys, "preview", "--detailed-exitcode")[0] == 0
    run(capsys, "config", "set", "word", "bye")
    out = run(capsys, "up", "--yes")[1]
    assert "  ~ greeting  bye" in out


def test_nothing_is_coloured_where_nobody_sees_it(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iacorch.cli.main", "up", "--stack", "nowhere"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"\x1b" not in done.stdout + done.stderr


def test_lines_say_what_happened_to_what_and_how_long() -> None:
    urn = "urn:pulumi:dev::proj::my:index:Group$docker:index/container:Container::web"
    assert label(urn) == "Container web"
    done = ResourceDone(urn, "t", Op.REPLACE, 1.25, (Change("image", 1, 2, replaces=True), Change("env", 1, 2)))
    assert describe(done) == "replaced (image (replaces), env) 1.2 s"
    failed = ResourceDone(urn, "t", Op.CREATE, 0.5, error="no room")
    assert describe(failed) == "create failed after 0.5 s: no room"


def test_a_preview_says_what_would_be() -> None:
    assert summary(Result({Op.SAME: 1, Op.DELETE: 2}, {}, 1.0), planned=True) == "1 unchanged, 2 to delete"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, "nothing to do", id="nothing"),
        pytest.param({Op.SAME: 2, Op.CREATE: 1}, "2 unchanged, 1 created", id="in Pulumi's order"),
        pytest.param({Op.DELETE: 0, Op.UPDATE: 3}, "3 updated", id="zeros are left out"),
    ],
)
def test_the_summary_counts(changes: dict[Op, int], words: str) -> None:
    assert summary(Result(changes, {}, 1.0)) == words
