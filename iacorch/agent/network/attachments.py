"""What this node promised its pods, on disk: the pod range, the leases, the host ports.

In: the agent's data directory. Out: `Attachments`, read once at the start and written after each change (whole file,
renamed into place). With it an agent that restarts while the control plane is away still attaches pods. A file that
cannot be read is set aside: what exists is then read back from the links.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import orjson
import structlog

from iacorch.agent.network import ipam
from iacorch.agent.network.contract import HostPort
from iacorch.errors import NetworkFailed
from iacorch.kit.files import write_whole

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attachments:
    """Everything that must outlive the process."""

    pod_range: IPv4Network | None = None
    leases: ipam.Leases = field(default_factory=ipam.Leases)
    host_ports: Mapping[str, tuple[HostPort, ...]] = field(default_factory=dict)
    """Pod UID -> its host ports; pods without any are left out."""


class AttachmentFile:
    """One writer, one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Attachments:
        """What was written last; nothing where there is no file."""
        try:
            data = orjson.loads(self._path.read_bytes())
            return Attachments(
                IPv4Network(data["pod_range"]) if data["pod_range"] else None,
                ipam.from_json(data["leases"]),
                {uid: tuple(HostPort(**port) for port in ports) for uid, ports in data["host_ports"].items()},
            )
        except FileNotFoundError:
            return Attachments()
        except OSError as error:
            raise NetworkFailed(f"cannot read {self._path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = self._path.with_suffix(".unreadable")
            log.warning("setting an unreadable file aside", file=str(self._path), kept=str(aside), error=repr(error))
            self._path.replace(aside)
            return Attachments()

    def write(self, attachments: Attachments) -> None:
        """Replace the file in one step. Raises NetworkFailed when the disk refuses."""
        data = {
            "pod_range": str(attachments.pod_range) if attachments.pod_range else None,
            "leases": ipam.to_json(attachments.leases),
            "host_ports": {uid: list(ports) for uid, ports in sorted(attachments.host_ports.items())},
        }
        try:
            write_whole(self._path, orjson.dumps(data, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise NetworkFailed(f"cannot write {self._path}: {error}") from error
