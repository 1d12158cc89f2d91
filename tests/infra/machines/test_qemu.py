"""QEMU only: its command line, what cloud-init is told, and pids that are somebody else's."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pycdlib
import pytest
import yaml

from iacorch.infra.machines.errors import InvalidSpec
from iacorch.infra.machines.qemu import command
from iacorch.infra.machines.qemu.place import Place
from iacorch.infra.machines.qemu.settings import QemuSettings, Size, options_of, settings_of


def arguments(**settings: str) -> list[str]:
    ports = {2222: 22, 16443: 6443}
    size = Size(cores=2, memory_mib=512)
    return command.arguments(QemuSettings(image="i", **settings), size, Path("/m"), name="a", ports=ports, kvm=False)


def test_ports_are_forwarded_from_loopback_only() -> None:
    network = arguments()[arguments().index("-netdev") + 1]
    assert network == "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:16443-:6443"


def test_without_kvm_it_is_emulated_and_everything_stays_in_the_folder() -> None:
    line = " ".join(arguments())
    assert "accel=tcg" in line
    assert "-cpu max -smp 2 -m 512" in line
    for name in ("disk.qcow2", "seed.iso", "console.log", "monitor", "pid"):
        assert f"/m/{name}" in line
    assert "-kernel" not in line


def test_a_kernel_boots_a_root_without_a_boot_loader() -> None:
    line = " ".join(arguments(kernel="/k", initrd="/i"))
    assert "-kernel /k -append root=/dev/vda rw console=ttyS0 -initrd /i" in line


def test_the_seed_is_what_cloud_init_looks_for() -> None:
    told = command.user_data(hostname="web-1", user="debian", ssh_public_key="ssh-ed25519 AAAA me")
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(command.seed(instance_id="c/web-1/x", hostname="web-1", user_data=told)))
    found = {}
    for name in ("user-data", "meta-data"):
        content = io.BytesIO()
        image.get_file_from_iso_fp(content, rr_path=f"/{name}")
        found[name] = content.getvalue().decode()
    label = image.pvd.volume_identifier.decode().strip()
    image.close()
    assert label == "cidata"
    assert found["user-data"].startswith("#cloud-config\n")
    config = yaml.safe_load(found["user-data"])
    assert config["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    assert yaml.safe_load(found["meta-data"]) == {"instance-id": "c/web-1/x", "local-hostname": "web-1"}


def test_a_number_that_another_process_has_by_now_is_no_running_machine(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert Place(tmp_path).pid() is None


def test_a_removal_that_was_cut_short_leaves_no_machine(tmp_path: Path) -> None:
    (tmp_path / "disk.qcow2").touch()
    assert Place(tmp_path).record() is None


@pytest.mark.parametrize(
    ("raw", "field"), [({"sizes": {"s": {"cores": 0, "memory_mib": 64}}}, "sizes.s.cores"), ({"acel": "kvm"}, "acel")]
)
def test_settings_that_cannot_be_are_named(raw: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        settings_of(raw)
    assert caught.value.field == field
    with pytest.raises(InvalidSpec, match="there is no such setting"):
        options_of({"forwards": {}})
