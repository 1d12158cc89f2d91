"""The cluster's own certificates: one CA, a serving certificate, the administrator's.

In: a data directory, a clock, serial numbers from `Ids`. Out: pairs of certificate and key; what is missing or close to
its end is made (`signing`). While the CA changes there are two: the new one signs, the old one is still trusted, and
has signed the new one as well, so that clients that know only the old one go on without noticing. Who begins and ends
the change: `rotation`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from iacorch.errors import ConfigError, Conflict
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.server.identity import signing
from iacorch.server.identity.signing import Pair, is_due, make_ca, make_client, make_serving, may_vouch, name_of, vouch
from iacorch.server.request import MASTERS


class Pki:
    """The `pki` folder of a data directory. Private keys are 0600, as is everything that holds one."""

    def __init__(self, folder: Path, *, clock: Clock, ids: Ids) -> None:
        self._folder, self._clock, self._ids = folder, clock, ids
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._finish_switch()
        self.ca = self._load("ca") or self._save("ca", make_ca(now=clock.now(), serial=self._serial()))
        self.old = self._text("old")
        """The certificate of the CA before, as long as it is trusted; else empty."""
        self._inside: ssl.SSLContext | None = None

    @property
    def trusted(self) -> bytes:
        """The CA's certificate, and after it the one of the CA before while the change lasts."""
        return self.ca.certificate + self.old

    def switch(self) -> None:
        """Sign by a new CA from now on, and trust both. Raises Conflict where a change goes on already.

        Cut off anywhere, it has either not begun, or the next start finishes it: `next.crt` is written last.
        """
        now = self._clock.now()
        if self.old:
            raise Conflict("the CA is being changed already", hint="end that first: iacorch certs rotate --ca --finish")
        if not may_vouch(self.ca.certificate):
            raise Conflict("this CA may not vouch for another one: it was made by an early version of iacorch")
        new = make_ca(now=now, serial=self._serial(), name=f"iacorch-ca-{self._ids.token(4).hex()}")
        cross = vouch(self.ca, new.certificate, now=now, serial=self._serial())
        for name, content in (("old", self.ca.certificate), ("cross", cross)):
            write_private(self._folder / f"{name}.crt", content, mode=0o644)
        self._save("next", new)
        self._finish_switch()
        self.ca, self.old = new, self._text("old")

    def end_switch(self) -> None:
        """Trust the old CA no more. Its key went when the new one came."""
        for name in ("old.crt", "cross.crt", "server.crt"):  # the serving certificate has `cross` with it
            (self._folder / name).unlink(missing_ok=True)
        self.old = b""

    def _finish_switch(self) -> None:
        """`next` takes the place of `ca`, the key first: as long as `next.crt` is there, it is not over."""
        if (self._folder / "next.crt").exists():
            for kind in ("key", "crt"):
                if (path := self._folder / f"next.{kind}").exists():
                    path.rename(self._folder / f"ca.{kind}")
        else:
            (self._folder / "next.key").unlink(missing_ok=True)
            if name_of_file(self._folder / "old.crt") in ("", name_of_file(self._folder / "ca.crt")):
                (self._folder / "old.crt").unlink(missing_ok=True)
                (self._folder / "cross.crt").unlink(missing_ok=True)

    def serving(self, names: Sequence[str]) -> Pair:
        found = self._load("server")
        if found is None or is_due(found.certificate, now=self._clock.now(), ca=self.ca.certificate, names=names):
            made = make_serving(self.ca, names=names, now=self._clock.now(), serial=self._serial())
            found = self._save("server", Pair(made.certificate + self._text("cross"), made.key))
        return found

    def admin(self) -> Pair:
        found = self._load("admin")
        if found is None or is_due(found.certificate, now=self._clock.now(), ca=self.ca.certificate):
            made = make_client(self.ca, user="admin", group=MASTERS, now=self._clock.now(), serial=self._serial())
            found = self._save("admin", made)
        return found

    def renew(self, names: Sequence[str], *, all_of_them: bool = False) -> bool:
        """Make anew what is close to its end; connections from now on see the new one. Whether anything was."""
        before = self._load("server"), self._load("admin")
        if all_of_them:
            for name in ("server", "admin"):
                (self._folder / f"{name}.crt").unlink(missing_ok=True)
        if (self.serving(names), self.admin()) == before:
            return False
        self._inside = self._context()
        return True

    def sign_node(self, csr: bytes, node_name: str) -> bytes:
        return signing.sign_node(self.ca, csr=csr, node_name=node_name, now=self._clock.now(), serial=self._serial())

    def server_context(self, names: Sequence[str]) -> ssl.SSLContext:
        """For as long as the server runs: each connection gets what `renew` made last.

        A context learns to trust another CA, and never to trust one no more. So connections are led on to a newer one
        at their first message, which is what `sni_callback` is called at, also where the client names no server.
        """
        self.serving(names)
        self._inside = self._context()
        door = self._context()

        def led_on(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._inside or context

        door.sni_callback = led_on
        return door

    def _context(self) -> ssl.SSLContext:
        """TLS 1.3 only; certificates of the CAs that are trusted now are taken, and none has to be shown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        context.load_verify_locations(cadata=self.trusted.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0  # a session that is resumed would not be checked against the CAs of now
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _serial(self) -> int:
        return int.from_bytes(self._ids.token(19), "big") | 1

    def _load(self, name: str) -> Pair | None:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        try:
            return Pair(certificate.read_bytes(), key.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", where=str(error.filename)) from error

    def _text(self, name: str) -> bytes:
        path = self._folder / f"{name}.crt"
        return path.read_bytes() if path.exists() else b""

    def _save(self, name: str, pair: Pair) -> Pair:
        write_private(self._folder / f"{name}.key", pair.key)
        write_private(self._folder / f"{name}.crt", pair.certificate, mode=0o644)
        return pair


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file that others never see half-written, or readable before its mode is set."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def name_of_file(path: Path) -> str:
    """As `name_of`; empty where there is no file."""
    return name_of(path.read_bytes()) if path.exists() else ""
