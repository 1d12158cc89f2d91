"""Where a server is and who we are: `Endpoint`, and kubeconfig files to and from it.

Both agents (from files that the bootstrap placed) and the command line (from a kubeconfig) end in an `Endpoint`, which
`client.http` opens.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Sequence
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

    `path` may be a list of them as in $KUBECONFIG (`A:B`), read as kubectl reads it: the first that says something is
    right, and files that are not there are passed over. Raises ConfigError naming the file, and the entry that is
    missing or broken.
    """
    every = [path] if path.exists() else [Path(each) for each in str(path).split(os.pathsep) if each]
    there = [each for each in every if each.exists()] or [path]
    return _endpoint([_File.read(each) for each in there], context)


def parse_kubeconfig(text: str, *, where: str, context: str = "") -> Endpoint:
    """As `read_kubeconfig`, for a text that came from elsewhere; `where` names it in errors."""
    return _endpoint([_File.parse(text, where)], context)


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


@dataclass(frozen=True, slots=True)
class _File:
    where: str
    document: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> _File:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            hint = "`iacorch kubeconfig`, in the folder of the project, writes the cluster's"
            raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str) -> _File:
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"is not YAML: {error}", where=where) from error
        if not isinstance(document, dict):
            raise ConfigError("is not a kubeconfig", where=where)
        return cls(where, document)


def _endpoint(files: Sequence[_File], context: str) -> Endpoint:
    name = context or next((str(said) for file in files if (said := file.document.get("current-context"))), "")
    if not name:
        hint = "`kubectl config use-context NAME` chooses one"
        raise ConfigError("names no current-context", where=_together(files), hint=hint)
    chosen, _ = _entry(files, "contexts", "context", name)
    cluster, of_cluster = _entry(files, "clusters", "cluster", str(chosen.get("cluster", "")))
    user, of_user = _entry(files, "users", "user", str(chosen.get("user", "")))
    return Endpoint(
        url=str(cluster.get("server", "")),
        ca=_data(cluster, "certificate-authority", of_cluster),
        certificate=_data(user, "client-certificate", of_user),
        key=_data(user, "client-key", of_user),
        token=str(user.get("token", "")),
    )


def _entry(files: Sequence[_File], section: str, field: str, name: str) -> tuple[dict[str, Any], str]:
    """The first entry of that name, and the file that it stands in."""
    for file in files:
        for entry in file.document.get(section) or ():
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
                return dict(entry[field]), file.where
    raise ConfigError(f"has no entry {name!r} in {section}", where=_together(files))


def _together(files: Sequence[_File]) -> str:
    return os.pathsep.join(file.where for file in files)


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
