"""Packages for images come from the distribution's archives that the host uses, and from nowhere else."""

from __future__ import annotations

from iacorch.infra.machines.images.base import apt_sources, debians_own


def target(*, origin: str, uri: str, release: str, component: str = "main") -> str:
    return f"Origin: {origin}\nRepo-URI: {uri}\nRelease: {release}\nComponent: {component}\nTrusted: yes"


PRINTED = "\n\n".join(
    [
        target(origin="Debian", uri="http://mirror.example/debian/", release="bookworm"),
        target(origin="Debian", uri="http://mirror.example/debian/", release="bookworm", component="contrib"),
        target(origin="Debian", uri="http://mirror.example/security/", release="bookworm-security"),
        target(origin="Debian", uri="http://mirror.example/debian/", release="sid"),
        target(origin="Somebody", uri="http://elsewhere.example/", release="bookworm"),
    ]
)


def test_the_hosts_mirror_is_taken_over_for_the_suite() -> None:
    assert apt_sources(PRINTED, "bookworm") == [
        "deb http://mirror.example/debian bookworm main contrib",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_a_host_of_another_release_shows_where_debian_is() -> None:
    assert apt_sources(PRINTED, "trixie") == [
        "deb http://mirror.example/debian trixie main contrib",
        "deb http://mirror.example/security trixie-security main",
    ]


def test_a_host_of_another_distribution_has_none() -> None:
    assert apt_sources(target(origin="Ubuntu", uri="http://elsewhere.example/", release="noble"), "bookworm") == []


def test_on_another_distribution_debians_own_archives_come_with_debians_keys() -> None:
    lines = debians_own("bookworm")
    assert [line.split()[-2] for line in lines] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert all(line.startswith("deb [signed-by=/usr/share/keyrings/debian-") for line in lines)
