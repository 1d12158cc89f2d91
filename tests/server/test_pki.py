"""Certificates that are made anew while the server runs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SystemIds
from iacorch.server.identity.pki import Pki

NAMES = ["localhost"]


class SetClock(LoopClock):
    """Stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        super().__init__(moment)
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def shown(context: ssl.SSLContext, authority: bytes) -> x509.Certificate:
    """The certificate that a new connection sees."""
    trusting = ssl.create_default_context(cadata=authority.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found)


async def test_a_certificate_near_its_end_is_made_anew_while_serving(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    clock = SetClock(now - timedelta(days=340))
    pki = Pki(tmp_path / "pki", clock=clock, ids=SystemIds())
    admin, context = pki.admin(), pki.server_context(NAMES)
    old = shown(context, pki.ca.certificate)
    assert not pki.renew(NAMES), "nothing is due yet"
    assert shown(context, pki.ca.certificate) == old
    clock.moment = now
    assert pki.renew(NAMES)
    new = shown(context, pki.ca.certificate)
    assert new.not_valid_after_utc > now + timedelta(days=300) > old.not_valid_after_utc
    assert pki.admin() != admin
    assert not pki.renew(NAMES), "once is enough"
