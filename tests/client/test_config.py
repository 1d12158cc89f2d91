from __future__ import annotations

import os
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
        pytest.param("{contexts: []}", "names no current-context", id="no current context"),
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


def test_of_several_kubeconfigs_the_first_that_says_something_is_right(tmp_path: Path) -> None:
    """As kubectl reads $KUBECONFIG, with files beside the one that names them."""
    own, other = tmp_path / "own", tmp_path / "other" / "config"
    other.parent.mkdir()
    (other.parent / "token-ca").write_bytes(b"their CA")
    own.write_text("current-context: theirs\n")
    cluster = "{name: c, cluster: {server: 'https://there', certificate-authority: token-ca}}"
    context = "{name: theirs, context: {cluster: c, user: u}}"
    user = "{name: u, user: {token: t}}"
    other.write_text(f"{{current-context: x, contexts: [{context}], clusters: [{cluster}], users: [{user}]}}")
    listed = Path(os.pathsep.join([str(tmp_path / "absent"), str(own), str(other)]))
    assert read_kubeconfig(listed) == Endpoint(url="https://there", ca=b"their CA", token="t")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_kubeconfig(tmp_path / "absent")


def test_bad_certificates_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        ENDPOINT.tls()
