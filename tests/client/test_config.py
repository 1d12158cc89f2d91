from __future__ import annotations

from pathlib import Path

import pytest

from iacorch.client.config import Endpoint, kubeconfig, read_kubeconfig
from iacorch.errors import ConfigError

ENDPOINT = Endpoint(url="https://127.0.0.1:6443", ca=b"CA", certificate=b"CERT", key=b"KEY")


def test_a_kubeconfig_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(ENDPOINT))
    assert read_kubeconfig(path) == ENDPOINT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("[1", "is not YAML", id="not YAML"),
        pytest.param("1", "is not a kubeconfig", id="not a mapping"),
        pytest.param("{current-context: a}", "has no entry 'a' in contexts", id="no such context"),
        pytest.param(
            "{current-context: a, contexts: [{name: a, context: {cluster: b, user: c}}],"
            " clusters: [{name: b, cluster: {server: s, certificate-authority-data: '%'}}],"
            " users: [{name: c, user: {}}]}",
            "certificate-authority-data is not base64",
            id="bad data",
        ),
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_kubeconfig(path)
    assert str(path) in str(caught.value)


def test_bad_certificates_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        ENDPOINT.tls()
