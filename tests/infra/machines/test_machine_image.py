"""Images of virtual machines: what is there is kept, what is missing is named. Building one takes minutes, by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iacorch.infra.machines.images.docker import ImageFailed
from iacorch.infra.machines.images.machine import machine_image, newest


def nothing(line: str) -> None:
    raise AssertionError(line)


def test_an_image_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    for name in ("disk.qcow2", "vmlinuz", "initrd"):
        (tmp_path / name).touch()
    assert machine_image(tmp_path, nothing).kernel == tmp_path / "vmlinuz"


def test_what_it_needs_of_the_host_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageFailed, match="mke2fs") as failed:
        machine_image(tmp_path / "image", nothing)
    assert "e2fsprogs" in failed.value.hint
    assert not (tmp_path / "image").exists()


def test_the_newest_kernel_is_taken(tmp_path: Path) -> None:
    for number, version in enumerate(("6.1.0-9", "6.1.0-10")):
        (tmp_path / f"vmlinuz-{version}").touch()
        os.utime(tmp_path / f"vmlinuz-{version}", (number, number))
    assert newest(tmp_path, "vmlinuz").name == "vmlinuz-6.1.0-10"
    with pytest.raises(ImageFailed, match="initrd"):
        newest(tmp_path, "initrd.img")
