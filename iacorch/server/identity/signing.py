"""How the cluster's certificates are made. Pure, but for drawing keys.

In: keys, names, a moment, serial numbers. Out: PEM bytes. Elliptic curves (P-256) throughout. Who a certificate is for
stands in its subject: O is a group, CN a user. `pki` keeps what is made here, and says when.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iacorch.errors import BadRequest
from iacorch.server.identity.certificates import Issued
from iacorch.server.request import NODE_USER_PREFIX, NODES

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


def make_ca(*, now: datetime, serial: int, name: str = "iacorch-ca") -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key.public_key(), now=now, life=CA_LIFE, serial=serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)  # one: its successor
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def vouch(old: Pair, new: bytes, *, now: datetime, serial: int) -> bytes:
    """The new CA's certificate signed by the old CA: who trusts only the old one can then check the new one's."""
    subject, issuer = x509.load_pem_x509_certificate(new), x509.load_pem_x509_certificate(old.certificate)
    key = _private(old)
    life = min(CA_LIFE, issuer.not_valid_after_utc - now)
    public_key = subject.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    certificate = (
        _builder(subject.subject, issuer.subject, public_key, now=now, life=life, serial=serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate)


def may_vouch(certificate: bytes) -> bool:
    """Whether a CA's certificate allows another CA below it."""
    found = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.BasicConstraints)
    return found.value.path_length is None or found.value.path_length > 0


def issued(certificate: bytes) -> Issued:
    """What is remembered of a certificate."""
    found = x509.load_pem_x509_certificate(certificate)
    return Issued(f"{found.serial_number:x}", found.not_valid_after_utc, _common_name(found.issuer))


def name_of(certificate: bytes) -> str:
    """The common name of whom a certificate is about."""
    return _common_name(x509.load_pem_x509_certificate(certificate).subject)


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
    key = _private(ca)
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


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _private(pair: Pair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


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
