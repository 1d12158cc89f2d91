"""QEMU only: its command line, KVM or not, the network between machines, what cloud-init is told, others' pids."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element, fromstring, tostring

import pycdlib
import pytest
import yaml

from iacorch.infra.machines.contract import CapacityType, MachineSpec, OwnerTags
from iacorch.infra.machines.errors import CloudUnavailable, InvalidSpec, MachineNotFound, QuotaExceeded
from iacorch.infra.machines.qemu import command, domain, network
from iacorch.infra.machines.qemu.accelerator import Host, choose, look
from iacorch.infra.machines.qemu.driver import QemuDriver
from iacorch.infra.machines.qemu.locks import locked
from iacorch.infra.machines.qemu.place import Place, Record, free_port
from iacorch.infra.machines.qemu.processes import pid
from iacorch.infra.machines.qemu.settings import Network, QemuSettings, Size, options_of, settings_of
from iacorch.kit.clock import LoopClock, SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.kit.virtual import run_virtual

QEMU = "qemu-system-x86_64"
X86 = Host("x86_64", frozenset({"lm", "vmx"}))
ARM = Host("aarch64", frozenset())


def record(**changes: Any) -> Record:
    whole = Record(
        id="c/web-1/x",
        cluster="c",
        token="t",
        claim="",
        name="web-1",
        instance_type="s",
        image="i",
        made_at="",
        ssh_port=2222,
        forward={"16443": 6443},
        address="10.77.0.2/24",
    )
    return replace(whole, **changes)


def arguments(found: Record | None = None, **settings: Any) -> list[str]:
    sizes = {"s": Size(cores=2, memory_mib=512)}
    whole = QemuSettings(image="i", sizes=sizes, **settings)
    return command.arguments(whole, found or record(), Path("/m"), kvm=False)


def backend(link: int, **settings: Any) -> str:
    return next(word for word in arguments(**settings) if f"id=net{link}," in word)


def test_ports_are_forwarded_from_loopback_only() -> None:
    assert backend(0) == "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:16443-:6443"


def test_between_machines_is_a_network_that_needs_no_rights_or_a_bridge() -> None:
    assert re.fullmatch(r"socket,id=net1,mcast=239\.19[2-5]\.\d+\.\d+:2\d{4},localaddr=127\.0\.0\.1", backend(1))
    assert backend(1, network={"bridge": "br0"}) == "bridge,id=net1,br=br0"
    assert "net1" not in " ".join(arguments(record(address="")))  # made before there was one


def test_one_network_for_each_segment_and_a_hardware_address_for_each_link() -> None:
    groups = {tuple(network.arguments(Network(), "a", segment=segment)) for segment in ("/m/one", "/m/two", "/m/one")}
    assert len(groups) == 2
    assert len({network.mac(machine, link) for machine in ("c/a/x", "c/b/x") for link in (0, 1)}) == 4


def test_addresses_are_given_once_and_the_first_is_the_hosts() -> None:
    small = Network.model_validate({"range": "192.168.7.0/29"})
    taken: list[str] = []
    for last in range(2, 7):
        taken.append(network.free_address(small, taken))
        assert taken[-1] == f"192.168.7.{last}/29"
    with pytest.raises(QuotaExceeded, match="addresses in 192"):
        network.free_address(small, taken)
    assert network.free_address(small, set(taken) - {"192.168.7.4/29"}) == "192.168.7.4/29"


@pytest.mark.parametrize(
    ("wanted", "host", "program", "words"),
    [
        pytest.param("auto", X86, QEMU, "run by KVM: /dev/kvm can be opened", id="a processor that can"),
        pytest.param("auto", replace(X86, cpu_flags=frozenset({"svm"})), QEMU, "run by KVM", id="AMD's"),
        pytest.param(
            "auto", replace(X86, cpu_flags=frozenset({"lm"})), QEMU, "emulated: .* vmx nor svm", id="a device that lies"
        ),
        pytest.param("auto", replace(X86, device="Permission denied"), QEMU, "emulated: .* Permission", id="no right"),
        pytest.param("auto", ARM, "/usr/bin/qemu-system-aarch64", "run by KVM", id="Arm says nothing of it in flags"),
        pytest.param("auto", ARM, QEMU, "emulated: qemu-system-x86_64 on aarch64", id="another processor"),
        pytest.param(
            "kvm", replace(X86, device="No such file"), QEMU, "run by KVM: the setting", id="insisting on KVM"
        ),
        pytest.param("tcg", X86, QEMU, "emulated: the setting accelerator is tcg", id="insisting on emulation"),
    ],
)
def test_kvm_is_taken_where_it_boots_something(
    wanted: Literal["auto", "kvm", "tcg"], host: Host, program: str, words: str
) -> None:
    assert re.match(words, str(choose(wanted, lambda: host, program=program)))


def test_this_host_can_be_looked_at() -> None:
    assert look().arch


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


def test_a_comma_in_a_path_is_no_end_of_it() -> None:
    settings = QemuSettings(image="i", sizes={"s": Size(cores=1, memory_mib=64)})
    line = " ".join(command.arguments(settings, record(), Path("/m/a,b"), kvm=False))
    assert "file=/m/a,,b/disk.qcow2,if=virtio" in line
    assert "unix:/m/a,,b/monitor,server=on" in line
    assert "-pidfile /m/a,b/pid" in line  # no list of options


def told_to_libvirt(found: Record | None = None, **settings: Any) -> Element:
    whole = QemuSettings(image="i", sizes={"s": Size(cores=2, memory_mib=512)}, **settings)
    return fromstring(domain.definition(whole, found or record(), Path("/m"), program="/usr/bin/" + QEMU, kvm=False))


def test_libvirt_is_told_the_same_machine() -> None:
    told = told_to_libvirt()
    assert told.get("type") == "qemu"
    texts = {tag: told.findtext(tag) for tag in ("name", "memory", "vcpu")}
    assert texts == {"name": "iacorch.c.web-1", "memory": "512", "vcpu": "2"}
    assert [each.get("file") for each in told.iterfind("devices/disk/source")] == ["/m/disk.qcow2", "/m/seed.iso"]
    words = [each.get("value") for each in told.iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")]
    direct = arguments()
    for option in ("-netdev", "-device"):
        links = [word for before, word in itertools.pairwise(direct) if before == option and "net" in word]
        given = [word for before, word in itertools.pairwise(words) if before == option]
        assert [(word or "").split(",bus=")[0] for word in given] == links
    assert (
        told_to_libvirt().findtext("uuid") == told.findtext("uuid") != told_to_libvirt(record(id="x")).findtext("uuid")
    )


def test_libvirt_is_told_of_a_bridge_and_a_kernel_in_its_own_words() -> None:
    told = told_to_libvirt(network={"bridge": "br0"}, kernel="/k", initrd="/i")
    link = told.find("devices/interface")
    assert link is not None
    assert (link.get("type"), link.find("source").get("bridge")) == ("bridge", "br0")  # type: ignore[union-attr]
    assert (told.findtext("os/kernel"), told.findtext("os/initrd")) == ("/k", "/i")
    assert "net1" not in tostring(told, encoding="unicode")


def test_operators_of_one_machine_wait_for_each_other_and_see_that_it_is_gone(tmp_path: Path) -> None:
    folder, clock = tmp_path / "web-1", LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
    order: list[str] = []

    async def operator(name: str) -> None:
        async with locked(folder, clock, operation="create"):
            order.append(f"{name} {'finds it' if (folder / 'machine').exists() else 'finds nothing'}")
            (folder / "machine").touch()
            await clock.sleep(5)
            shutil.rmtree(folder)

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(operator("one"))
            tasks.create_task(operator("two"))

    run_virtual(both())
    assert order == ["one finds nothing", "two finds nothing"]


def test_a_lock_that_is_never_given_back_is_told(tmp_path: Path) -> None:
    clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))

    async def late() -> None:
        async with locked(tmp_path, clock, operation="create"), locked(tmp_path, clock, operation="delete"):
            pass

    with pytest.raises(CloudUnavailable, match=r"delete: another process holds .*/\.lock"):
        run_virtual(late())


def read_seed(image: bytes) -> tuple[str, dict[str, str]]:
    """The label, and the files as far as they are there."""
    disk, found = pycdlib.PyCdlib(), {}
    disk.open_fp(io.BytesIO(image))
    for entry in disk.list_children(rr_path="/"):
        if entry is not None and entry.is_file():
            content, name = io.BytesIO(), entry.rock_ridge.name().decode()
            disk.get_file_from_iso_fp(content, rr_path=f"/{name}")
            found[name] = content.getvalue().decode()
    label = disk.pvd.volume_identifier.decode().strip()
    disk.close()
    return label, found


def test_the_seed_is_what_cloud_init_looks_for() -> None:
    told = command.user_data(hostname="web-1", user="debian", ssh_public_key="ssh-ed25519 AAAA me")
    label, found = read_seed(command.seed(record(), told))
    assert label == "cidata"
    assert found["user-data"].startswith("#cloud-config\n")
    config = yaml.safe_load(found["user-data"])
    assert config["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    assert yaml.safe_load(found["meta-data"]) == {"instance-id": "c/web-1/x", "local-hostname": "web-1"}


def test_the_seed_gives_both_links_their_addresses() -> None:
    _, found = read_seed(command.seed(record(), "#cloud-config\n"))
    links = yaml.safe_load(found["network-config"])["ethernets"]
    assert links["net0"]["dhcp4"] is True
    assert links["net1"]["addresses"] == ["10.77.0.2/24"]
    for link, name in enumerate(("net0", "net1")):
        mac = links[name]["match"]["macaddress"]
        assert any(f"netdev={name},mac={mac}" in word for word in arguments())
        assert mac == network.mac("c/web-1/x", link)
    _, before = read_seed(command.seed(record(address=""), "#cloud-config\n"))
    assert before.keys() == {"user-data", "meta-data"}


def test_a_number_that_another_process_has_by_now_is_no_running_machine(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert pid(Place(tmp_path)) is None


def test_a_removal_that_was_cut_short_leaves_no_machine(tmp_path: Path) -> None:
    (tmp_path / "disk.qcow2").touch()
    assert Place(tmp_path).record() is None


@pytest.fixture
def idle(tmp_path: Path) -> QemuDriver:
    """A driver whose machines have everything but a processor: the program does nothing."""
    if shutil.which("qemu-img") is None:
        pytest.skip("needs qemu-img")
    (tmp_path / "image").write_bytes(b"\0" * 512)
    sizes = {"s": Size(cores=1, memory_mib=64, disk_gib=1)}
    settings = QemuSettings(image=str(tmp_path / "image"), folder=tmp_path / "machines", program="true", sizes=sizes)
    return QemuDriver(settings, SystemClock(), SystemIds())


def wanted(key: str) -> MachineSpec:
    owner = OwnerTags("c", token=f"token of {key}")
    return MachineSpec("web-1", "s", owner, capacity_type=CapacityType.OWNED, ssh_public_key=key)


async def test_nothing_of_a_machine_whose_removal_was_cut_short_is_another_ones(
    idle: QemuDriver, tmp_path: Path
) -> None:
    """Its record went, its disk and who may enter did not."""
    await idle.create(wanted("theirs"))
    place = tmp_path / "machines/c/web-1"
    (place / "disk.qcow2").write_text("their data")
    (place / "machine.json").unlink()
    await idle.create(wanted("mine"))
    assert b"mine" in (place / "seed.iso").read_bytes()
    assert b"their data" not in (place / "disk.qcow2").read_bytes()


async def test_a_change_of_a_machine_that_is_deleted_meanwhile_does_not_bring_it_back(
    idle: QemuDriver, tmp_path: Path
) -> None:
    made = await idle.create(wanted("mine"))
    place = Place(tmp_path / "machines/c/web-1")
    async with locked(place.folder, SystemClock(), operation="delete"):
        changing = asyncio.ensure_future(idle.update(made.id, replace(wanted("mine"), labels={"a": "b"})))
        await asyncio.sleep(0)  # it has begun
        place.remove()
    with pytest.raises(MachineNotFound):
        await changing
    assert await idle.list_owned("c") == ()


async def test_a_machine_that_took_a_name_over_meanwhile_is_not_deleted_in_the_others_place(
    idle: QemuDriver, tmp_path: Path
) -> None:
    made = await idle.create(wanted("theirs"))
    place = Place(tmp_path / "machines/c/web-1")
    async with locked(place.folder, SystemClock(), operation="create"):
        deleting = asyncio.ensure_future(idle.delete(made.id, cluster="c"))
        await asyncio.sleep(0)  # it has begun
        found = place.record()
        assert found is not None
        place.write(replace(found, id="c/web-1/next", token="mine"))
    await deleting
    assert [machine.id for machine in await idle.list_owned("c")] == ["c/web-1/next"]


async def test_ports_are_given_once() -> None:
    """Also to machines that do not run at the moment."""
    with pytest.raises(QuotaExceeded, match="ports"):
        free_port(taken=frozenset(range(65_536)))
    assert free_port() > 0


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"sizes": {"s": {"cores": 0, "memory_mib": 64}}}, "sizes.s.cores"),
        ({"acel": "kvm"}, "acel"),
        ({"network": {"bridge": "br0,x=y"}}, "network.bridge"),
        ({"network": {"range": "10.0.0.0/8"}}, "network.range"),
        ({"network": {"range": "192.168.7.0/30"}}, "network.range"),
    ],
)
def test_settings_that_cannot_be_are_named(raw: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        settings_of(raw)
    assert caught.value.field == field
    with pytest.raises(InvalidSpec, match="there is no such setting"):
        options_of({"forwards": {}})
