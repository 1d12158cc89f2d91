"""The cluster's own certificates: one CA, a serving certificate, client certificates for admins and agents.

In: keys, names, a moment, serial numbers from `Ids`. Out: PEM bytes. The functions above `Pki` are pure but for drawing
keys; `Pki` keeps the files of a data directory and makes what is missing or close to its end. Elliptic curves (P-256)
throughout. Who a certificate is for stands in its subject: O is a group, CN a user.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iacorch.errors import BadRequest, ConfigError
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.server.request import MASTERS, NODE_USER_PREFIX, NODES

CA_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=365)
RENEW_BEFORE: Final = timedelta(days=60)
"""A certificate with less than this left is made anew."""
BACKDATE: Final = timedelta(minutes=10)
"""Certificates begin this much in the past, for machines whose clocks are slow."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


def make_ca(*, now: datetime, serial: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("iacorch-ca")
    certificate = (
        _builder(name, name, key.public_key(), now=now, life=CA_LIFE, serial=serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def make_serving(ca: Pair, *, names: Sequence[str], now: datetime, serial: int) -> Pair:
    """For a server that answers under `names`: host names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    sans = x509.SubjectAlternativeName([_san(name) for name in names])
    certificate = _sign(
        ca, _name("iacorch"), key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, now=now, serial=serial, sans=sans
    )
    return Pair(certificate, _key_pem(key))


def make_client(ca: Pair, *, user: str, group: str, now: datetime, serial: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(
        ca, _name(user, group), key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, now=now, serial=serial
    )
    return Pair(certificate, _key_pem(key))


def sign_node(ca: Pair, *, csr: bytes, node_name: str, now: datetime, serial: int) -> bytes:
    """An agent's certificate for the key in `csr`. What the request says about its subject is not looked at."""
    try:
        request = x509.load_pem_x509_csr(csr)
        valid = request.is_signature_valid
        public_key = request.public_key()
    except (ValueError, InvalidSignature) as error:
        raise BadRequest(f"csr: not a certificate signing request in PEM: {error}") from error
    if not valid:
        raise BadRequest("csr: the signature does not match the key")
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise BadRequest("csr: the key must be an elliptic curve key")
    name = _name(NODE_USER_PREFIX + node_name, NODES)
    return _sign(ca, name, public_key, ExtendedKeyUsageOID.CLIENT_AUTH, now=now, serial=serial)


def is_due(certificate: bytes, *, now: datetime, ca: bytes, names: Sequence[str] = ()) -> bool:
    """Whether a certificate must be made anew: near its end, of another CA, or without a name it needs."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        issuer = x509.load_pem_x509_certificate(ca)
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return True
    if found.not_valid_after_utc - now < RENEW_BEFORE:
        return True
    if not names:
        return False
    try:
        sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return True
    return not set(map(_san, names)) <= set(sans)


class Pki:
    """The `pki` folder of a data directory. Private keys are 0600, as is everything that holds one."""

    def __init__(self, folder: Path, *, clock: Clock, ids: Ids) -> None:
        self._folder, self._clock, self._ids = folder, clock, ids
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ca = self._load("ca") or self._save("ca", make_ca(now=clock.now(), serial=self._serial()))

    def serving(self, names: Sequence[str]) -> Pair:
        found = self._load("server")
        if found is None or is_due(found.certificate, now=self._clock.now(), ca=self.ca.certificate, names=names):
            found = self._save(
                "server", make_serving(self.ca, names=names, now=self._clock.now(), serial=self._serial())
            )
        return found

    def admin(self) -> Pair:
        found = self._load("admin")
        if found is None or is_due(found.certificate, now=self._clock.now(), ca=self.ca.certificate):
            made = make_client(self.ca, user="admin", group=MASTERS, now=self._clock.now(), serial=self._serial())
            found = self._save("admin", made)
        return found

    def renew(self, names: Sequence[str], context: ssl.SSLContext) -> bool:
        """Make anew what is close to its end; connections from now on see the new one. Whether anything was."""
        before = self._load("server"), self._load("admin")
        if (self.serving(names), self.admin()) == before:
            return False
        context.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        return True

    def sign_node(self, csr: bytes, node_name: str) -> bytes:
        return sign_node(self.ca, csr=csr, node_name=node_name, now=self._clock.now(), serial=self._serial())

    def server_context(self, serving: Pair) -> ssl.SSLContext:
        """TLS 1.3 only; client certificates of this CA are taken, none is asked for at the door."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        context.load_verify_locations(cadata=self.ca.certificate.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
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


def _sign(
    ca: Pair,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    purpose: x509.ObjectIdentifier,
    *,
    now: datetime,
    serial: int,
    sans: x509.SubjectAlternativeName | None = None,
) -> bytes:
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    key = serialization.load_pem_private_key(ca.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        _builder(subject, issuer.subject, public_key, now=now, life=LEAF_LIFE, serial=serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if sans is not None:
        builder = builder.add_extension(sans, critical=False)
    return _pem(builder.sign(key, hashes.SHA256()))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    life: timedelta,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(user: str, group: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
