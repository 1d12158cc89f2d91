"""Images are built once for each content, and what fails is said with the tool's last words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from iacorch.infra.machines.images.build import build, content_tag, hint_for
from iacorch.infra.machines.images.docker import ImageFailed, image_id, run


def folder(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    name = f"iacorch-test/{tmp_path.parent.name}-{tmp_path.name}".lower().replace("_", "-")
    yield name
    found = subprocess.run(["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", name], capture_output=True)
    for reference in found.stdout.decode().split():
        subprocess.run(["docker", "rmi", reference], capture_output=True, check=False)


def test_the_tag_follows_content_names_and_arguments(tmp_path: Path) -> None:
    one = content_tag(folder(tmp_path / "a", Dockerfile="FROM scratch"), {})
    assert one == content_tag(folder(tmp_path / "b", Dockerfile="FROM scratch"), {})
    assert one != content_tag(folder(tmp_path / "a", Dockerfile="FROM debian"), {})
    assert one != content_tag(folder(tmp_path / "b", other="x"), {})
    assert content_tag(tmp_path / "a", {"V": "1"}) != content_tag(tmp_path / "a", {"V": "2"})


def test_a_folder_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFailed, match="has no Dockerfile"):
        build(tmp_path, "x", progress=lambda line: None)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ImageFailed, match="no-such-program is not installed"):
        run(["no-such-program"])


def test_a_command_that_says_nothing_and_does_not_end_is_ended() -> None:
    # What it started holds the output open as well, and goes with it.
    with pytest.raises(ImageFailed, match="took longer"):
        run(["sh", "-c", "sleep 600 & wait"], timeout_seconds=0.2)


def test_a_failure_carries_the_last_lines() -> None:
    with pytest.raises(ImageFailed, match=r"exit code 3:\n  seen"):
        run(["sh", "-c", "echo seen; exit 3"])


PULL = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host'


@pytest.mark.parametrize(
    ("said", "dockerfile", "hint"),
    [
        pytest.param(
            PULL, "# app\nFROM debian:12-slim AS a\n", "`ARG BASE=debian:12-slim` and `FROM ${BASE}`", id="plain"
        ),
        pytest.param(PULL, "FROM --platform=linux/amd64 python:3\n", "python:3 cannot be pulled", id="an option"),
        pytest.param(PULL, "ARG BASE=debian:12-slim\nFROM ${BASE}\n", "", id="an argument already"),
        pytest.param("The command '/bin/sh -c false' returned a non-zero code: 1", "FROM debian:12\n", "", id="a step"),
    ],
)
def test_a_base_that_cannot_be_pulled_is_answered_with_the_form_that_can(said: str, dockerfile: str, hint: str) -> None:
    assert hint in hint_for(said, dockerfile)
    assert bool(hint) == bool(hint_for(said, dockerfile))


@pytest.mark.docker
def test_a_build_that_fails_leaves_no_container_and_says_nothing_of_its_builder(
    tmp_path: Path, repository: str
) -> None:
    mark = f"test-{tmp_path.parent.name}-{tmp_path.name}"
    context = folder(tmp_path / "image", Dockerfile="ARG BASE\nFROM ${BASE}\nRUN false\n")
    with pytest.raises(ImageFailed, match=r"returned a non-zero code|exit code: 1") as raised:
        build(context, repository, labels={"dev.iacorch.test": mark}, progress=lambda line: None)
    assert "DEPRECATED" not in raised.value.message
    query = ["docker", "ps", "-aq", "--filter", f"label=dev.iacorch.test={mark}"]
    assert subprocess.run(query, capture_output=True, check=True).stdout == b""


@pytest.mark.docker
def test_the_second_build_is_a_lookup(tmp_path: Path, repository: str) -> None:
    context = folder(tmp_path / "image", Dockerfile="ARG BASE\nFROM scratch\nCOPY file /file\n", file="1")
    told: list[str] = []
    first = build(context, repository, arguments={"BASE": "none"}, progress=told.append)
    assert told
    told.clear()
    assert build(context, repository, arguments={"BASE": "none"}, progress=told.append) == first
    assert told == []
    moved = build(context, repository, tag="v1", arguments={"BASE": "none"}, progress=told.append)
    assert image_id(moved) == image_id(first)
