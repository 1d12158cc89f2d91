"""Certificates made anew while the server runs: the serving one, the administrator's, and the CA itself.

In: the PKI, the names of this server, the records of nodes, and what to do when the administrator's access changes.
Out: three deeds and a list, for `iacorch certs` and for the daemon's own round. Changing the CA is two deeds, because
others have to hear of it in between: `begin` (the new CA signs, both are trusted) and, once every node has a
certificate of the new one, `end` (the old one is trusted no more, also by TLS: `pki`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from iacorch.errors import Conflict
from iacorch.kit.clock import Clock, rfc3339
from iacorch.server.identity.certificates import Issued, NodeCertificates
from iacorch.server.identity.pki import Pki
from iacorch.server.identity.signing import issued, name_of


class Rotation:
    """One for each server."""

    def __init__(
        self,
        pki: Pki,
        records: NodeCertificates,
        clock: Clock,
        *,
        names: Sequence[str] = (),
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        self._pki, self._records, self._clock = pki, records, clock
        self._names, self._publish = names, publish
        self._trusted = self._names_of_trusted()

    def trusts(self, authority: str) -> bool:
        """Whether certificates of the CA with this common name are still taken, also on connections that are open."""
        return authority in self._trusted

    def renew(self, *, all_of_them: bool = False) -> bool:
        """Make anew what is due, or everything but the CA. Whether anything was."""
        if not self._pki.renew(self._names, all_of_them=all_of_them):
            return False
        self._publish()
        return True

    def begin(self) -> None:
        """Raises Conflict."""
        self._pki.switch()
        self._trusted = self._names_of_trusted()
        self.renew(all_of_them=True)

    def end(self, *, force: bool = False) -> None:
        """Raises Conflict while a node would be shut out, unless `force` says to do so."""
        if not self._pki.old:
            raise Conflict("the CA is not being changed", hint="begin with: iacorch certs rotate --ca")
        current = name_of(self._pki.ca.certificate)
        late = sorted(
            node for node, record in self._records.all().items() if record and record[-1].authority != current
        )
        if late and not force:
            raise Conflict(
                f"certificates of the old CA are still used by {len(late)} nodes: {', '.join(late[:5])}",
                hint="`iacorch refresh`, then `iacorch up` tells them of the new one; --force shuts them out",
            )
        self._pki.end_switch()
        self._trusted = self._names_of_trusted()
        self.renew()
        self._publish()

    def _names_of_trusted(self) -> frozenset[str]:
        return frozenset(name_of(found) for found in (self._pki.ca.certificate, self._pki.old) if found)

    def listing(self) -> dict[str, Any]:
        """What there is, as `iacorch certs` shows it."""
        pki = self._pki
        own = [("ca", "ca", pki.ca.certificate), ("server", "server", pki.serving(self._names).certificate)]
        own += [("admin", "admin", pki.admin().certificate)]
        if pki.old:
            own.insert(1, ("old-ca", "ca", pki.old))
        rows = [_row(name, use, issued(certificate)) for name, use, certificate in own]
        rows += [_row(node, "node", record[-1]) for node, record in sorted(self._records.all().items()) if record]
        return {"now": rfc3339(self._clock.now()), "changing": bool(pki.old), "certificates": rows}


def _row(name: str, use: str, found: Issued) -> dict[str, str]:
    return {"name": name, "use": use, "ends": rfc3339(found.ends_at), "issuer": found.authority, "serial": found.serial}
