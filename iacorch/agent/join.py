"""How this machine becomes known to the control plane, and stays so.

In: the server's URL and CA, a join token, the node's name, a folder. Out: an `Identity`, an endpoint with a client
certificate whose key was made here and never leaves (0600). The composition root calls `identity` at the start, and
again with `renew=True` at `renew_at`, or when the server refuses the certificate. While the cluster's CA changes, the
CA file holds two, the one that signs first: a certificate of the other one is good, and is to be renewed at once.

What must be known of the certificate at every start stands beside it in `agent.json`, and `cryptography` is imported
only where keys and certificates are made: it is 8 MB of an agent that has 60.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import orjson
import structlog

from iacorch.client.config import Endpoint
from iacorch.client.http import HttpClient, error_of
from iacorch.client.tunnel import JOIN_PATH
from iacorch.errors import ApiError, ConfigError, Unauthorized, Unavailable
from iacorch.kit import limits
from iacorch.kit.clock import Clock, parse_rfc3339, rfc3339
from iacorch.kit.files import write_whole

_RENEW_AT: Final = 2 / 3
"""Of a certificate's life."""
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    endpoint: Endpoint
    renew_at: datetime
    ends_at: datetime
    is_new: bool
    """Made by this process, which has loaded what it takes to make one."""


@dataclass(frozen=True, slots=True)
class JoinSettings:
    server: str
    ca_file: Path
    token_file: Path | None
    node_name: str
    folder: Path


async def identity(settings: JoinSettings, clock: Clock, *, renew: bool = False) -> Identity:
    """The certificate on disk, or a new one from the server; waits for a server that does not answer.

    A renewal asks with the certificate it has, and with the token where that is refused.

    Raises ConfigError when the files cannot be used or the server refuses the token.
    """
    ca = _read(settings.ca_file, "--ca")
    kept = _kept(settings, ca)
    # One that is to be renewed is good until it ends: the node works with it while the server is asked.
    if kept is not None and not renew and clock.now() < kept.ends_at:
        return kept
    key = private_key(settings.folder)
    is_good = kept is not None and clock.now() < kept.ends_at
    asking = kept.endpoint if kept is not None and is_good else _with_token(settings, ca)
    pause = limits.INFORMER_BACKOFF_START_SECONDS
    while True:
        try:
            certificate, authority = await _ask(asking, settings.node_name, key)
        except Unauthorized as error:
            if asking.token:
                raise ConfigError(
                    f"the server refuses this token: {error.message}",
                    where=str(settings.token_file),
                    hint="copy the control plane's join token to this machine again",
                ) from error
            asking = _with_token(settings, ca)  # the certificate was not good any more
        except Unavailable as error:
            log.warning("waiting for the control plane", server=settings.server, error=error.message)
            await clock.sleep(pause)
            pause = min(pause * 2, limits.INFORMER_BACKOFF_MAX_SECONDS)
        except ApiError as error:
            raise ConfigError(f"the server does not let this node join: {error.message}", where="--server") from error
        else:
            found = keep(settings, ca, certificate, key, authority=authority)
            log.info("got a client certificate", node=settings.node_name, renew_at=found.renew_at.isoformat())
            return found


async def _ask(endpoint: Endpoint, node_name: str, key: bytes) -> tuple[bytes, str]:
    """The certificate, and which CA has signed it."""
    body = orjson.dumps({"nodeName": node_name, "csr": signing_request(key, node_name).decode()})
    headers = {"Content-Type": "application/json"}
    try:
        async with HttpClient(endpoint) as client, client.session.post(JOIN_PATH, data=body, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 400:
                raise error_of(answer.status, _status(content))
            found = orjson.loads(content)
            return str(found["certificate"]).encode(), _authorities(str(found["ca"]).encode())[0]
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise Unavailable(f"no answer from {endpoint.url}: {str(error) or type(error).__name__}") from error


def _status(content: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"message": content[:200].decode("utf-8", "replace")}


def _with_token(settings: JoinSettings, ca: bytes) -> Endpoint:
    if settings.token_file is None:
        raise ConfigError("there is no certificate yet and no token to ask for one", where="--token-file")
    return Endpoint(settings.server, ca, token=_read(settings.token_file, "--token-file").decode().strip())


def _kept(settings: JoinSettings, ca: bytes) -> Identity | None:
    """What is on disk, if it is whole and of this node and CA."""
    try:
        about = orjson.loads((settings.folder / "agent.json").read_bytes())
        certificate = (settings.folder / "agent.crt").read_bytes()
        key = (settings.folder / "agent.key").read_bytes()
        trusted = _authorities(ca)
        if about["made of"] != _fingerprint(settings, certificate, key) or about["authority"] not in trusted:
            return None
        renew_at, ends_at = parse_rfc3339(about["renew at"]), parse_rfc3339(about["ends at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if about["authority"] != trusted[0]:
        renew_at = min(renew_at, _AT_ONCE)
    return Identity(Endpoint(settings.server, ca, certificate, key), renew_at, ends_at, is_new=False)


def keep(settings: JoinSettings, ca: bytes, certificate: bytes, key: bytes, *, authority: str = "") -> Identity:
    """Put on disk what the server gave. `authority` is the CA that signed it, by default the first of `ca`."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise ConfigError(f"the server answered with what is not a certificate: {error}", where="--server") from error
    begins_at, ends_at = found.not_valid_before_utc, found.not_valid_after_utc
    renew_at = begins_at + (ends_at - begins_at) * _RENEW_AT
    about = {
        "made of": _fingerprint(settings, certificate, key),
        "authority": authority or _authorities(ca)[0],
        "renew at": rfc3339(renew_at),
        "ends at": rfc3339(ends_at),
    }
    write_whole(settings.folder / "agent.crt", certificate)
    write_whole(settings.folder / "agent.json", orjson.dumps(about))  # last: it says that the others are whole
    return Identity(Endpoint(settings.server, ca, certificate, key), renew_at, ends_at, is_new=True)


def _fingerprint(settings: JoinSettings, *parts: bytes) -> str:
    return hashlib.sha256(b"\0".join((settings.node_name.encode(), *parts))).hexdigest()


def _authorities(ca: bytes) -> list[str]:
    """The CAs in a PEM text, each by a hash of its certificate."""
    bodies = _CERTIFICATE.findall(ca)
    return [hashlib.sha256(b"".join(body.split())).hexdigest() for body in bodies] or [hashlib.sha256(ca).hexdigest()]


def private_key(folder: Path) -> bytes:
    """The node's private key, made once."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    file = folder / "agent.key"
    try:
        content = file.read_bytes()
        serialization.load_pem_private_key(content, None)
        return content
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"is not a private key: {error}", where=str(file), hint="remove it to join anew") from error
    content = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_whole(file, content)
    return content


def signing_request(key: bytes, node_name: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"system:node:{node_name}"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", where=flag) from error
