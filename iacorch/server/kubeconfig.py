"""The file that lets kubectl in. Pure."""

from __future__ import annotations

import base64

import yaml

from iacorch.server.pki import Pair


def kubeconfig(url: str, *, ca: bytes, client: Pair, name: str = "iacorch") -> bytes:
    """A kubeconfig with one cluster, one user and one context, certificates inside."""

    def text(content: bytes) -> str:
        return base64.b64encode(content).decode()

    cluster = {"server": url, "certificate-authority-data": text(ca)}
    user = {"client-certificate-data": text(client.certificate), "client-key-data": text(client.key)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        sort_keys=False,
    ).encode()
