"""`iacorch drift`, `plan` and `apply` as a person calls them, on a project without machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iacorch.cli.commands.drift import Desk
from iacorch.cli.main import main
from iacorch.cli.target import target_in


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PULUMI_BACKEND_URL", "PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)  # without a passphrase no key is derived: seconds saved
    monkeypatch.setenv("IACORCH_ENGINE", "builtin")
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    assert run("stack", "init", "prod") == 0
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_project_without_resources_is_in_sync(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("drift", "--once", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["inSync"] is True
    assert document["stacks"] == ["prod"]
    assert "iacorch_drift_fights 0" in (project / ".iacorch" / "drift.prom").read_text()


def test_a_stack_that_cannot_be_read_is_an_error_and_not_in_sync(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((project / ".iacorch" / "state").rglob("prod.json")).write_text("{")
    assert run("drift", "--once") == 1
    assert "not looked at: machine: stack prod" in capsys.readouterr().out


def test_approvals_are_kept_beside_the_project(project: Path) -> None:
    assert run("drift", "approve", "0123456789ab") == 0
    assert "0123456789ab" in json.loads((project / ".iacorch" / "drift.json").read_text())["approvals"]
    assert run("drift", "approve", "web") == 1
    assert run("drift", "forget") == 0
    assert not (project / ".iacorch" / "drift.json").exists()


def test_what_is_approved_while_a_check_goes_on_is_not_forgotten_at_its_end(project: Path) -> None:
    checking = Desk(target_in(project), {})
    before = checking.recall()
    assert run("drift", "approve", "0123456789ab") == 0
    checking.keep(before)
    assert set(checking.recall().approvals) == {"0123456789ab"}
    checking.keep(before)
    assert not checking.recall().approvals, "one that it knew of and has used up does not come back"


def test_a_file_that_cannot_be_read_is_no_traceback(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".iacorch" / "drift.json").mkdir()
    assert run("drift", "approve", "0123456789ab") == 1
    assert "drift.json: Is a directory" in capsys.readouterr().err


def test_policies_from_a_file_are_checked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policies = project / "policies.yaml"
    policies.write_text("metadata: {name: p}\nspec: {schedule: never}\n")
    assert run("drift", "--once", "--policy", str(policies)) == 1
    assert "DriftPolicy p: spec.schedule" in capsys.readouterr().err
    policies.write_text("metadata: {name: p}\nspec: {schedule: '0 * * * *', action: correct}\n")
    assert run("drift", "--once", "--policy", str(policies)) == 0


def test_a_plan_is_applied_only_while_it_is_true(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "__main__.py").write_text("import pulumi\npulumi.export('a', 1)\n")
    assert run("plan", "--out", "next.plan", "--detailed-exitcode") == 0
    assert "nothing to do" in capsys.readouterr().out
    (project / "__main__.py").write_text("import pulumi\npulumi.export('a', 2)\n")
    assert run("apply", "next.plan", "--yes") == 1
    assert "file __main__.py has changed" in capsys.readouterr().err
    assert run("plan", "--out", "next.plan") == 0
    assert run("apply", "next.plan", "--yes") == 0
