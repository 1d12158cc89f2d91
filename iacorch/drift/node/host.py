"""What a machine that became a node should look like: `Wanted`, from the very plan that made it one. Pure.

In: bootstrap's `Plan`, the bundle's ID, the node's name. Out: `Wanted`, which `inspect` compares with what `probe.sh`
saw. Who changes the plan or the files of bootstrap changes what is wanted here, without a second list to keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from iacorch.agent.network.settings import TABLE, TUNNEL_LINK
from iacorch.infra.bootstrap.files import File, files_of
from iacorch.infra.bootstrap.plan import AGENT_DATA_DIR, AGENT_UNIT, CONTROL_PLANE_DATA_DIR, Plan
from iacorch.infra.bootstrap.settled import DOCKER_CONFIG, docker_config_text

ROOT: Final = "root:root"
_FOLDERS: Final = {"/etc/iacorch": "755", "/opt/iacorch": "755"}
_ENGINE_SOCKETS: Final = {"/run/docker.sock": "660"}
"""Who may write there may do everything on the machine."""
_AGENT_FOLDERS: Final = {AGENT_DATA_DIR: "700", f"{AGENT_DATA_DIR}/pki": "700"}
_CONTROL_PLANE_FOLDERS: Final = {CONTROL_PLANE_DATA_DIR: "700", f"{CONTROL_PLANE_DATA_DIR}/pki": "700"}
_CONTROL_PLANE_SECRETS: Final = ("pki/ca.key", "admin.kubeconfig")


@dataclass(frozen=True, slots=True)
class WantedFile:
    """`sha256` is empty where only its being there, its owner and its mode are known beforehand; `owner` where systemd
    makes it up."""

    sha256: str = ""
    mode: str = "600"
    owner: str = ROOT
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that bootstrap promises about one machine. `settled` are kinds that its agent keeps right itself."""

    name: str
    unit: str
    bundle: str
    services: tuple[str, ...]
    files: Mapping[str, WantedFile] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    """Path -> the most that its mode may allow; root's all of them."""
    private: Mapping[str, str] = field(default_factory=dict)
    """The same of folders that are the daemon's, whose user systemd makes up."""
    sockets: Mapping[str, str] = field(default_factory=dict)
    """Path -> the most that its mode may allow, and root's; its group is the host's to choose."""
    programs: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    link: str = ""
    certificates: tuple[str, ...] = ()
    bundle_files: int = 0
    """How many files the bundle has; 0 where nobody counted them."""


def wanted_of(plan: Plan, *, name: str, bundle: str, bundle_files: int = 0) -> Wanted:
    """For a node or a control plane."""
    files = {path: _wanted(path, file) for path, file in files_of(plan, bundle).items()}
    is_node = plan.unit == AGENT_UNIT
    if config := plan.variables.get("docker_config"):
        files[DOCKER_CONFIG] = WantedFile(_sha256(docker_config_text(config)), "644")
    if is_node:
        files[f"{AGENT_DATA_DIR}/pki/agent.key"] = WantedFile(secret=True)
    else:
        files |= {
            f"{CONTROL_PLANE_DATA_DIR}/{name}": WantedFile(owner="", secret=True) for name in _CONTROL_PLANE_SECRETS
        }
    services = [f"{plan.unit}.service", *(["docker.service"] if is_node else [])]
    return Wanted(
        name=name,
        unit=plan.unit,
        bundle=bundle,
        services=tuple(services),
        files=files,
        folders={**_FOLDERS, **(_AGENT_FOLDERS if is_node else {})},
        private={} if is_node else _CONTROL_PLANE_FOLDERS,
        sockets=_ENGINE_SOCKETS if is_node else {},
        programs=("dockerd", "nft") if is_node else (),
        sysctls={"net.ipv4.ip_forward": "1"} if is_node else {},
        table=TABLE if is_node else "",
        link=TUNNEL_LINK if is_node else "",
        certificates=(f"{AGENT_DATA_DIR}/pki/agent.crt",) if is_node else (f"{CONTROL_PLANE_DATA_DIR}/pki/ca.crt",),
        bundle_files=bundle_files,
    )


def _wanted(path: str, file: File) -> WantedFile:
    secret = "token" in path
    return WantedFile(_sha256(file.content), f"{file.mode:o}", secret=secret)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
