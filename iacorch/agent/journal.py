"""What this node promised to run, on disk.

In: pods as they were accepted, with the status that was last reported. Out: the same after a restart of the agent, also
while the API is away. One small file a pod; a file that cannot be read is put aside, because the API or the runtime
will tell of its pod again. What the disk refuses is not promised, and `trouble` says so: pods run all the same, but an
agent that starts again does not know them until the API is there. `pods/pods.py` and the worker call it.
"""

from __future__ import annotations

from pathlib import Path

import orjson
import structlog

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.kit.files import write_whole

log = structlog.get_logger(__name__)


class Journal:
    """Writes are atomic: the file has the old content or the new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}
        self.trouble = ""
        """Why the last write failed; "" when it did not."""

    def read(self) -> list[Object]:
        """Every pod on record, in the order of their UIDs."""
        found: list[Object] = []
        if not self._folder.exists():
            return found
        for file in sorted(self._folder.glob("*.json")):
            try:
                content = file.read_bytes()
                pod: Object = orjson.loads(content)
                if objects.uid(pod) != file.stem:
                    raise ValueError("the file does not hold the pod that its name says")
            except (OSError, ValueError, AttributeError) as error:
                log.warning("a journal entry cannot be read and is put aside", file=str(file), error=str(error))
                file.rename(file.with_suffix(".broken"))
                continue
            self._written[file.stem] = content
            found.append(pod)
        return found

    def put(self, pod: Object) -> None:
        uid, content = objects.uid(pod), orjson.dumps(pod)
        if self._written.get(uid) == content:
            return
        try:
            write_whole(self._folder / f"{uid}.json", content, durably=False)
        except OSError as error:
            self.trouble = f"{self._folder} cannot be written: {error.strerror}"
            log.warning("a pod is not in the journal", pod=objects.key(pod), error=str(error))
            return
        self.trouble = ""
        self._written[uid] = content

    def remove(self, uid: str) -> None:
        (self._folder / f"{uid}.json").unlink(missing_ok=True)
        self._written.pop(uid, None)
