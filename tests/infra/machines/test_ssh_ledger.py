"""What is remembered of owned hosts, and what is said where nothing can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from iacorch.infra.machines.errors import InvalidSpec
from iacorch.infra.machines.ssh.ledger import Ledger, Remembered

ENTRY = Remembered("h ssh-ed25519 A", "{}")


def test_entries_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state/hosts.json")
    assert ledger.read() == {}
    ledger.remember("rack-1", ENTRY)
    ledger.remember("rack-2", Remembered())
    assert Ledger(tmp_path / "state/hosts.json").read() == {"rack-1": ENTRY, "rack-2": Remembered()}
    assert (tmp_path / "state/hosts.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"rack-1": {"keys": 1}}'])
def test_a_broken_file_is_refused_and_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "hosts.json").write_text(content)
    with pytest.raises(InvalidSpec, match="cannot be read"):
        Ledger(tmp_path / "hosts.json").remember("rack-1", ENTRY)
    assert (tmp_path / "hosts.json").read_text() == content


def test_a_place_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ledger = Ledger(tmp_path / "file/hosts.json")
    for use in (ledger.read, lambda: ledger.remember("rack-1", ENTRY)):
        with pytest.raises(InvalidSpec, match=r"ledger: (Not a directory|File exists): .*file"):
            use()
