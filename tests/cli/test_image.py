from __future__ import annotations

import pytest

from iacorch.cli.commands.image import parted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("web", ("web", "")),
        ("web:v1", ("web", "v1")),
        ("registry.example:5000/team/web", ("registry.example:5000/team/web", "")),
        ("registry.example:5000/team/web:v1", ("registry.example:5000/team/web", "v1")),
    ],
)
def test_a_registrys_port_is_no_tag(name: str, wanted: tuple[str, str]) -> None:
    assert parted(name) == wanted
