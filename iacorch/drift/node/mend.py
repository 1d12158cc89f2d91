"""How what is wrong on a node is set right: what the roles do, and the little that they cannot. Pure.

In: the observations of one node that are to be corrected. Out: shell scripts to run before and after the roles (empty
where the roles are enough), and whether the roles must run. Called by `source` of this layer.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from iacorch.drift.model import Observation, Verdict


@dataclass(frozen=True, slots=True)
class Mend:
    """`before` first, then the roles if `roles`, then `after`."""

    before: str = ""
    roles: bool = False
    after: str = ""


def mend(observations: Iterable[Observation], *, unit: str) -> Mend:
    """For one node; `unit` is its daemon."""
    lines: list[str] = []
    roles = reload = restart = False
    for o in observations:
        name = shlex.quote(o.key.name)
        paths = {f.path for f in o.fields}
        match o.key.kind:
            case "File" if o.verdict is Verdict.UNEXPECTED:
                # A drop-in: the unit as bootstrap wrote it is what is wanted. Somebody wrote it by hand: it is kept,
                # under a name that systemd does not read.
                lines.append(f"mv -f -- {name} {name}.aside")
                reload = restart = True
            case "File" | "Socket" if paths and paths <= {"mode", "owner"}:
                lines += _rights(o)
            case "File" if o.key.name.endswith("/agent.key"):
                restart = True  # it makes a key and asks for a certificate with the token that it has
            case "Mount":
                # First of all: what is set right afterwards is what it hid. Lazily, as a daemon may have files open.
                lines.insert(0, f"for n in 1 2 3; do umount {name} || umount -l {name} || break; done 2>/dev/null")
                restart = True
            case "Service":
                lines.append(f"systemctl unmask --runtime {name}; systemctl unmask {name}")
                if "process" in paths:
                    lines.append(f"systemctl kill --kill-who=main --signal=CONT {name}")
                reload, roles = reload or "unit" in paths, True
            case "Certificate":
                lines.append(f"rm -f -- {name}")
                if "key" in paths:
                    lines.append(f"rm -f -- {shlex.quote(o.key.name.removesuffix('.crt') + '.key')}")
                restart = True
            case "Bundle":
                # Unpacking goes by its last member: without it the role unpacks again, over what was changed.
                lines.append(f"rm -f -- /opt/iacorch/{name}/complete")
                lines += [f"rm -f -- {shlex.quote(path)}" for path in _changed(o)]
                roles = restart = True
            case "Sysctl":
                lines += [f"sysctl -q -w {name}={shlex.quote(str(f.wanted))}" for f in o.fields]
            case "ForeignRule":
                lines.append(_without_rule(o.key.name))
            case "Firewall" | "Link":
                restart = True
            case "Clock":
                lines.append("timedatectl set-ntp true")
            case _:
                roles = True
    if reload:
        lines.append("systemctl daemon-reload")
    # Last: until the roles have run, what it needs may not be there.
    after = f"systemctl restart {unit}.service\n" if restart else ""
    return Mend("\n".join(lines) + "\n" if lines else "", roles, after)


def _without_rule(name: str) -> str:
    """One rule less; of a chain whose policy drops, the policy."""
    family, table, chain, handle = name.split(" ")
    at = f"{shlex.quote(family)} {shlex.quote(table)} {shlex.quote(chain)}"
    if handle == "0":
        return f"nft chain {at} '{{ policy accept; }}'"
    return f"nft delete rule {at} handle {int(handle)}"


def _rights(o: Observation) -> list[str]:
    name = shlex.quote(o.key.name)
    commands = {"mode": "chmod", "owner": "chown"}
    return [f"{commands[f.path]} {shlex.quote(str(f.wanted))} {name}" for f in o.fields]


def _changed(o: Observation) -> list[str]:
    return [f.path.removeprefix("files[").removesuffix("]") for f in o.fields if f.path.startswith("files[")]
