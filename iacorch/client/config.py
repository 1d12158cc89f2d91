"""Where a server is and who we are: `Endpoint`, and kubeconfig files to and from it.

Both agents (from files that the bootstrap placed) and the command line (from a kubeconfig) end in an `Endpoint`, which
`client.http` opens.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iacorch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's URL, the CA that signed it (PEM), and a client certificate with key (PEM) or a bearer token."""

    url: str
    ca: bytes
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""

    def tls(self) -> ssl.SSLContext:
        """A TLS 1.3 context that trusts only `ca` and presents the certificate. Raises ConfigError on bad PEM."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=self.ca.decode("ascii"))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            if self.certificate:
                # The ssl module reads certificates only from files.
                with tempfile.NamedTemporaryFile(prefix="iacorch-", suffix=".pem") as pem:
                    pem.write(self.certificate + b"\n" + self.key)
                    pem.flush()
                    context.load_cert_chain(pem.name)
        except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
            raise ConfigError(f"the certificates for {self.url} cannot be used: {error}") from error
        return context


def read_kubeconfig(path: Path, *, context: str = "") -> Endpoint:
    """The endpoint that `context` (or the current context) of a kubeconfig names.

    Raises ConfigError naming the file and the entry that is missing or broken.
    """
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=where, hint="run `make up` first") from error
    return parse_kubeconfig(text, where=where, context=context)


def parse_kubeconfig(text: str, *, where: str, context: str = "") -> Endpoint:
    """As `read_kubeconfig`, for a text that came from elsewhere; `where` names it in errors."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {error}", where=where) from error
    if not isinstance(document, dict):
        raise ConfigError("is not a kubeconfig", where=where)
    name = context or document.get("current-context") or ""
    chosen = _entry(document, "contexts", "context", name, where)
    cluster = _entry(document, "clusters", "cluster", str(chosen.get("cluster", "")), where)
    user = _entry(document, "users", "user", str(chosen.get("user", "")), where)
    return Endpoint(
        url=str(cluster.get("server", "")),
        ca=_data(cluster, "certificate-authority", where),
        certificate=_data(user, "client-certificate", where),
        key=_data(user, "client-key", where),
        token=str(user.get("token", "")),
    )


def kubeconfig(endpoint: Endpoint, *, cluster: str = "iacorch", user: str = "admin") -> str:
    """A kubeconfig (YAML text) with everything embedded."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    credentials = (
        {"token": endpoint.token}
        if endpoint.token
        else {"client-certificate-data": encoded(endpoint.certificate), "client-key-data": encoded(endpoint.key)}
    )
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {"server": endpoint.url, "certificate-authority-data": encoded(endpoint.ca)},
            }
        ],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False)


def _entry(document: dict[str, Any], section: str, field: str, name: str, where: str) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
            return dict(entry[field])
    raise ConfigError(f"has no entry {name!r} in {section}", where=where)


def _data(entry: dict[str, Any], field: str, where: str) -> bytes:
    """`field`-data in base64, or the contents of the file that `field` names (relative to the kubeconfig)."""
    if encoded := entry.get(f"{field}-data"):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{field}-data is not base64", where=where) from error
    if name := entry.get(field):
        try:
            return (Path(where).parent / str(name)).read_bytes()
        except OSError as error:
            raise ConfigError(f"{field} {name} cannot be read: {error.strerror}", where=where) from error
    return b""
