"""What only a Docker Engine with a network can give: a distribution's packages, images.

In: a base image of the release that machines run, names of packages and images, a folder. Out: archives that are
unpacked at `/` on a machine (`bootstrap.bundles.offline`). Called by `iacorch bundle`.
"""

from __future__ import annotations

import hashlib
import shlex
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from iacorch.infra.bootstrap.bundles.offline import IMAGES_ROOM, PACKAGES_ROOM, packages_name
from iacorch.infra.machines.images.docker import ImageFailed, Progress, docker, image_id

_SECONDS: Final = 1_800.0
# What a minimal system of this release lacks for the packages, as a repository that apt reads from a folder.
_DOWNLOAD: Final = r"""
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
mkdir -p /out/{room}/partial
apt-get -qq -y install --download-only --no-install-recommends -o Dir::Cache::Archives=/out/{room} {names}
cd /out/{room}
rm -rf partial lock
for package in *.deb; do
  dpkg-deb -f "$package"
  echo "Filename: ./$package"
  echo "Size: $(stat -c %s "$package")"
  echo "SHA256: $(sha256sum "$package" | cut -d ' ' -f 1)"
  echo
done >Packages
echo 'deb [trusted=yes] file:/{room} ./' >sources.list
chmod -R a+rX /out
. /etc/os-release
printf '%s\n' "$ID" "$VERSION_ID" "$(uname -m)" >/out/about
"""


def packages(base: str, names: Sequence[str], folder: Path, progress: Progress) -> Path:
    """An archive named for the release of `base`. Raises ImageFailed."""
    out = folder / "packages"
    out.mkdir()
    progress(f"downloading {', '.join(names)} and what they need, for {base}")
    script = _DOWNLOAD.format(room=PACKAGES_ROOM, names=" ".join(map(shlex.quote, names)))
    docker("run", "--rm", "--volume", f"{out}:/out", base, "sh", "-c", script, timeout_seconds=_SECONDS)
    os_id, version, arch = (out / "about").read_text().split()
    archive = folder / packages_name(os_id, version, arch)
    with tarfile.open(archive, "w") as tar:
        tar.add(out / PACKAGES_ROOM, PACKAGES_ROOM)
    return archive


def images(references: Sequence[str], folder: Path, progress: Progress) -> Path:
    """An archive of images that the local Engine has; one that it has not is pulled. Raises ImageFailed."""
    found = []
    for reference in references:
        if image_id(reference) is None:
            progress(f"pulling {reference}")
            docker("pull", "--quiet", reference, timeout_seconds=_SECONDS)
        found.append(image_id(reference) or "")
    if not all(found):
        raise ImageFailed(f"{references[found.index('')]} went away while it was being read")
    name = hashlib.sha256("\n".join(f"{r} {i}" for r, i in zip(references, found, strict=True)).encode()).hexdigest()[
        :16
    ]
    progress(f"saving {len(found)} images")
    saved = folder / "saved.tar"
    docker("save", "--output", str(saved), *references, timeout_seconds=_SECONDS)
    archive = folder / f"images-{name}.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(saved, f"{IMAGES_ROOM}/{name}.tar")
    saved.unlink()
    return archive
