"""The package's schema: what other languages' SDKs are made from."""

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iacorch.infra.provider.resources.machine_class import SPEC as MACHINE_CLASS
from iacorch.infra.provider.resources.node import SPEC as NODE
from iacorch.infra.provider.resources.node_pool import SPEC as NODE_POOL
from iacorch.infra.provider.resources.virtual_machine_spec import SPEC as VIRTUAL_MACHINE
from iacorch.infra.provider.schema import package_schema

SCHEMA: dict[str, Any] = json.loads(package_schema("1.2.3", (NODE, VIRTUAL_MACHINE, MACHINE_CLASS, NODE_POOL)))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_type_that_is_referred_to_is_there() -> None:
    known = {f"#/types/{token}" for token in SCHEMA["types"]} | {"pulumi.json#/Any"}
    assert set(references(SCHEMA)) <= known


@pytest.mark.parametrize("token", SCHEMA["resources"])
def test_each_property_says_what_it_is(token: str) -> None:
    described = SCHEMA["resources"][token]
    for name, prop in {**described["inputProperties"], **described["properties"]}.items():
        assert prop["description"], name
        assert {"type", "$ref"} & set(prop), name
    assert set(described["inputProperties"]) <= set(described["properties"])


def test_what_is_checked_elsewhere_is_still_an_object_or_a_list_of_numbers() -> None:
    machine = SCHEMA["resources"]["iacorch:index:VirtualMachine"]["inputProperties"]
    assert machine["settings"]["type"] == "object"
    assert machine["dataDisksGib"]["items"] == {"type": "integer"}


@pytest.mark.cli
@pytest.mark.parametrize(
    ("language", "file", "typed"),
    [
        pytest.param("python", "pulumi_iacorch/node.py", "class Node(", id="python"),
        pytest.param("nodejs", "virtualMachine.ts", "dataDisksGib?: pulumi.Input<pulumi.Input<number>[]", id="nodejs"),
        pytest.param("go", "iacorch/virtualMachine.go", "pulumi.IntArrayInput", id="go"),
    ],
)
async def test_the_cli_makes_an_sdk_of_it(language: str, file: str, typed: str, tmp_path: Path) -> None:
    if not shutil.which(f"pulumi-language-{language}"):
        pytest.skip(f"the CLI has no language host for {language} here")
    plugin = tmp_path / "pulumi-resource-iacorch"
    plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m iacorch.infra.provider.main "$@"\n')
    plugin.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *("pulumi", "package", "gen-sdk", str(plugin), "--language", language, "--out", str(tmp_path / "sdk")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert typed in (tmp_path / "sdk" / language / file).read_text()
