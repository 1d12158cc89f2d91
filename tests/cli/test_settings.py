"""Which settings a program reads, from its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from iacorch.cli.settings import of_program, of_source, unread

READS = """
config = pulumi.Config()
workers = config.get_int("workers") or 2
image = config.require("image")
key = config.require_secret("ssh_private_key")
"""


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        pytest.param(READS, "workers", "", id="read"),
        pytest.param(READS, "ssh_private_key", "", id="a secret that is read"),
        pytest.param(READS, "image.path", "", id="a field of one that is read"),
        pytest.param(READS, "worker", "did you mean workers?", id="nearly"),
        pytest.param(READS, "colour", "it reads image, ssh_private_key, workers", id="not at all"),
        pytest.param("x = 1", "anything", "", id="a program that tells nothing"),
        pytest.param("not python(", "anything", "", id="no program"),
        pytest.param(READS + "[config.get(n) for n in ('folder',)]", "folder", "", id="names that are made up"),
        pytest.param(READS + "[config.get(n) for n in ('folder',)]", "x", "no file of the program reads", id="others"),
    ],
)
def test_settings_of_a_source(source: str, name: str, said: str) -> None:
    words = unread(name, of_source(source))
    assert (said in words) if said else words == ""


def test_settings_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import more")
    (tmp_path / "more.py").write_text(READS)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text("config.get('other')")
    assert of_program(tmp_path).names == {"workers", "image", "ssh_private_key"}
