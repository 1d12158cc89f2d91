"""Who asks: client certificates and the join token. Pure but for hashing.

In: what TLS and the Authorization header say. Out: a `User`, or None for nobody in particular. TLS has already checked
that a certificate is the CA's and in date; here its subject is read: O are groups, CN is the user.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from iacorch.errors import Unauthorized
from iacorch.server.request import AUTHENTICATED, User

JOINING: Final = User("system:bootstrap:join", frozenset({"system:bootstrappers"}))
"""Who holds the join token: may join, and nothing else."""


class Authenticator:
    """Knows the join token, if there is one."""

    def __init__(self, join_token: str = "") -> None:
        self._join_token = join_token.encode()

    def identify(self, certified: User | None, authorization: str) -> User | None:
        """`certified` is whom the connection's certificate names. Raises Unauthorized for a token that is wrong."""
        if certified is not None:
            return certified
        if not authorization:
            return None
        scheme, _, token = authorization.partition(" ")
        known = scheme.lower() == "bearer" and bool(self._join_token)
        if known and hmac.compare_digest(token.strip().encode(), self._join_token):
            return JOINING
        raise Unauthorized("Unauthorized")


@dataclass(frozen=True, slots=True)
class Certified:
    """Whom a connection's certificate names, which one it is, and whose."""

    user: User
    serial: str = ""
    authority: str = ""


def certified(certificate: Mapping[str, Any]) -> Certified | None:
    """`certificate` is `ssl.SSLObject.getpeercert()`."""
    user = user_of(certificate)
    if user is None:
        return None
    serial = f"{int(str(certificate.get('serialNumber', '')) or '0', 16):x}"
    authority = (value for part in certificate.get("issuer", ()) for field, value in part if field == "commonName")
    return Certified(user, serial, next(authority, ""))


def user_of(certificate: Mapping[str, Any]) -> User | None:
    """`certificate` is `ssl.SSLObject.getpeercert()`."""
    names: list[str] = []
    groups: set[str] = {AUTHENTICATED}
    for part in certificate.get("subject", ()):
        for field, value in part:
            if field == "commonName":
                names.append(value)
            elif field == "organizationName":
                groups.add(value)
    return User(names[0], frozenset(groups)) if names else None
