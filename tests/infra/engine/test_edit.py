"""A person's settings file, of which one setting is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from iacorch.infra.engine.builtin.stack.edit import edited
from iacorch.infra.engine.builtin.stack.project import ConfigValue, full_key, load_project, load_stack_config

WRITTEN = """\
# Ask the team before you change hosts.
config:
  shop:hosts:
  - name: machine-1   # in the cellar
    address: 192.0.2.1
  workers: 2  # a number

  shop:motd: 'quoted'
"""


def change(text: str, salt: str = "", **changes: object) -> str:
    keyed = {key.replace("_", ":"): value for key, value in changes.items()}
    return edited(text, salt=salt, changes=keyed, full_key=lambda key: full_key("shop", key))


def test_nothing_but_the_setting_changes() -> None:
    assert change(WRITTEN, shop_workers="3") == WRITTEN.replace("workers: 2  #", "workers: '3' #")
    assert change(WRITTEN) == WRITTEN


def test_one_more_comes_last_and_one_that_goes_takes_nothing_along() -> None:
    assert change(WRITTEN, shop_zone="a") == f"{WRITTEN}  shop:zone: a\n"
    without = change(WRITTEN, shop_motd=None)
    assert "motd" not in without
    assert "# in the cellar" in without
    assert yaml.safe_load(without)["config"].keys() == {"shop:hosts", "workers"}


@pytest.mark.parametrize(
    ("text", "salt", "wanted"),
    [
        ("", "", ""),
        ("", "v1:x", "encryptionsalt: v1:x\n"),
        ("config:\n  shop:a: b\n", "", ""),
        ("# only words\n", "v1:x", "# only words\nencryptionsalt: v1:x\n"),
        ("environment: []\n", "v1:x", "environment: []\nencryptionsalt: v1:x\n"),
    ],
)
def test_what_is_empty_goes_and_what_is_not_read_stays(text: str, salt: str, wanted: str) -> None:
    changes: dict[str, object] = {"shop_a": None} if "shop:a" in text else {}
    assert change(text, salt, **changes) == wanted


def test_a_long_value_stays_on_its_line_and_reads_back() -> None:
    long = " ".join(["word"] * 200)
    text = change(WRITTEN, shop_long=long)
    assert yaml.safe_load(text)["config"]["shop:long"] == long
    assert f"shop:long: {long}\n" in text


def test_saving_writes_what_differs_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "__main__.py").touch()
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(WRITTEN)
    config = load_stack_config(load_project(tmp_path), "prod")
    config.with_value("shop:workers", ConfigValue("2")).save()
    assert path.read_text() == WRITTEN, "a program reads text, and 2 is that"
    config.with_value("shop:workers", ConfigValue("c", secure=True)).save()
    assert yaml.safe_load(path.read_text())["config"]["workers"] == {"secure": "c"}
    assert "# a number" in path.read_text()
