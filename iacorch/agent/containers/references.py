"""The config maps and secrets that pods of this node name.

In: (kind, namespace, name). Out: the objects. Read from the API when they are needed: a new pod sees the newest. While
the API is away, what was read last answers, also after a restart of the agent, from `folder` (0700). The worker calls
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import orjson
import structlog

from iacorch.agent.containers.environment import Sources
from iacorch.api.catalogue import CONFIG_MAP, SECRET
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import ApiError, Forbidden, NotFound
from iacorch.kit.files import write_whole

log = structlog.get_logger(__name__)


class References:
    """Use from one event loop."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._known: dict[tuple[str, str, str], Object] = {}

    async def sources(self, namespace: str, names: Iterable[tuple[str, str]]) -> Sources:
        """`names` are ("ConfigMap" or "Secret", name). What does not exist is absent from the answer.

        Raises an ApiError when the API is away and an object was never read.
        """
        config_maps: dict[str, Object] = {}
        secrets: dict[str, Object] = {}
        for kind, name in sorted(names):
            if (found := await self._get(kind, namespace, name)) is not None:
                (config_maps if kind == "ConfigMap" else secrets)[name] = found
        return Sources(config_maps, secrets)

    def forget_all_but(self, used: Iterable[tuple[str, str, str]]) -> None:
        """Drop what no pod of this node names any more; (kind, namespace, name)."""
        keep = set(used)
        for key in [key for key in self._known if key not in keep]:
            del self._known[key]
        files = {self._file(key).name for key in keep}
        if self._folder.exists():
            for file in self._folder.iterdir():
                if file.name not in files:
                    file.unlink(missing_ok=True)

    async def _get(self, kind: str, namespace: str, name: str) -> Object | None:
        key = (kind, namespace, name)
        try:
            found = await self._client.get(CONFIG_MAP if kind == "ConfigMap" else SECRET, namespace, name)
        except (NotFound, Forbidden):
            self._known.pop(key, None)
            self._file(key).unlink(missing_ok=True)
            return None
        except ApiError:
            known = self._known.get(key) or self._read(key)
            if known is None:
                raise
            return known
        before = self._known.get(key)
        self._known[key] = found
        if before is None or before["metadata"].get("resourceVersion") != found["metadata"].get("resourceVersion"):
            self._write(key, found)
        return found

    def _file(self, key: tuple[str, str, str]) -> Path:
        return self._folder / hashlib.sha256("/".join(key).encode()).hexdigest()

    def _read(self, key: tuple[str, str, str]) -> Object | None:
        try:
            found: Object = orjson.loads(self._file(key).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        self._known[key] = found
        return found

    def _write(self, key: tuple[str, str, str], obj: Object) -> None:
        try:
            write_whole(self._file(key), orjson.dumps(obj), durably=False)
        except OSError as error:
            # Pods get it all the same; an agent that starts again while the API is away does not have it.
            log.warning("a reference is not kept", file=str(self._file(key)), error=str(error))
