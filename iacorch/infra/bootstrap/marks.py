"""What a machine was made a node with, as one word; how a claim's machine is wished to be made one again. Pure.

The state of a claim's machine lies with the provisioner that keeps it, so nobody else can run bootstrap there. Whoever
wants it (`iacorch upgrade`) writes a wish on the claim; the provisioner carries it out once, in place, and answers in
the claim's status. Read by `rollout` and `provision`.

| where                              | what                                                   | written by    |
|------------------------------------|--------------------------------------------------------|---------------|
| annotation `iacorch.dev/update`    | the wish: a mark, and a token that tells it from others | who wishes    |
| `status.build`                     | the mark of what runs                                  | provisioner   |
| `status.wish`                      | the wish that is heard: it waits, or is being done     | provisioner   |
| `status.answered`                  | the wish that was carried out, well or not             | provisioner   |
| condition `Updated`                | how: Unknown while it is under way, then True or False | provisioner   |
"""

from __future__ import annotations

import hashlib
from typing import Final

UPDATE: Final = "iacorch.dev/update"
UPDATED: Final = "Updated"


def mark(release: str, ca_cert: str) -> str:
    """Another build of iacorch or another CA is another mark."""
    return f"{release}/ca.{hashlib.sha256(_plain(ca_cert).encode()).hexdigest()[:12]}"


def is_same_ca(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def wish(wanted: str, token: str) -> str:
    return f"{wanted} {token}"


def wanted_by(wish: str) -> str:
    """The mark in a wish; "" where nothing is wished for."""
    return wish.partition(" ")[0]


def _plain(pem: str) -> str:
    return "\n".join(line.strip() for line in pem.splitlines() if line.strip())
