"""A stack's state as values, and as Pulumi's checkpoint of version 3. Pure, but for the cipher passed in.

In: the bytes of `STACK.json`. Out: `Snapshot`, with secrets opened and every field that this engine does not use kept
beside (`extra`), so that the other engine finds them again. What only version 4 can express is refused by name.
Source: Pulumi's `sdk/go/common/apitype`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import orjson

from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.errors import StateBroken, Unsupported

VERSION: Final = 3
#: Fields that change what an engine must do and that this one does not do.
_FOREIGN: Final = (
    "taint", "viewOf", "replaceWith", "resourceHooks", "replacementTrigger", "extensionRef", "snippetID",
)  # fmt: skip


class Cipher(Protocol):
    """Opens and closes secret values of one stack."""

    def open(self, ciphertext: str) -> str: ...

    def close(self, plaintext: str, *, known_as: str = "") -> str:
        """Encrypt; `known_as` is the context under which an unchanged value keeps its old ciphertext."""
        ...


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as last seen. Properties carry wire marks; secrets are open in memory only."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Props = field(default_factory=dict)
    outputs: Props = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    external: bool = False
    delete: bool = False
    pending_replacement: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    init_errors: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    created: str = ""
    modified: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_provider(self) -> bool:
        return urns.is_provider(self.type)

    def needs(self) -> frozenset[str]:
        """URNs that must exist before this resource, and outlive it."""
        found = {self.parent, self.deleted_with, *self.dependencies}
        found.update(urn for deps in self.property_dependencies.values() for urn in deps)
        if self.provider:
            found.add(urns.split_reference(self.provider)[0])
        return frozenset(found - {"", self.urn})

    def renamed(self, before: str, now: str) -> Resource:
        """The same resource, naming another one by its new URN."""

        def new(urn: str) -> str:
            return now if urn == before else urn

        provider = self.provider
        if provider and urns.split_reference(provider)[0] == before:
            provider = urns.reference(now, urns.split_reference(provider)[1])
        return replace(
            self,
            parent=new(self.parent),
            deleted_with=new(self.deleted_with),
            dependencies=tuple(map(new, self.dependencies)),
            property_dependencies={k: tuple(map(new, deps)) for k, deps in self.property_dependencies.items()},
            provider=provider,
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """An operation that had begun when the state was written: `creating`, `updating`, `deleting`, `reading`."""

    resource: Resource
    kind: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state: resources in dependency order."""

    resources: tuple[Resource, ...] = ()
    pending: tuple[Pending, ...] = ()
    salt: str = ""

    def find(self, urn: str) -> Resource | None:
        """The living resource with this URN, if any."""
        return next((r for r in self.resources if r.urn == urn and not r.delete), None)


_TEXT: Final = {"id": "id", "parent": "parent", "provider": "provider", "deletedWith": "deleted_with",
                "created": "created", "modified": "modified"}  # fmt: skip
_FLAG: Final = {"protect": "protect", "external": "external", "delete": "delete",
                "pendingReplacement": "pending_replacement", "retainOnDelete": "retain_on_delete"}  # fmt: skip
_LIST: Final = {"dependencies": "dependencies", "initErrors": "init_errors", "ignoreChanges": "ignore_changes",
                "additionalSecretOutputs": "additional_secret_outputs",
                "replaceOnChanges": "replace_on_changes"}  # fmt: skip
_KNOWN: Final = frozenset(
    {"urn", "type", "custom", "inputs", "outputs", "propertyDependencies", "customTimeouts", *_TEXT, *_FLAG, *_LIST}
)


def peek_salt(data: bytes, where: str) -> tuple[str, bool]:
    """The passphrase salt kept in the state, and whether the state holds secrets, without opening any."""
    latest = _latest(data, where)
    provider = latest.get("secrets_providers") or {}
    if (kind := provider.get("type", "passphrase") if provider else "passphrase") != "passphrase":
        raise Unsupported(f"the secrets provider {kind!r}", where=where)
    return str((provider.get("state") or {}).get("salt", "")), wire.SECRET.encode() in data


def parse(data: bytes, cipher: Cipher, where: str) -> Snapshot:
    """Read a checkpoint; StateBroken says what was found where."""
    latest = _latest(data, where)
    try:
        resources = tuple(_resource(item, cipher) for item in latest.get("resources") or ())
        pending = tuple(
            Pending(_resource(op["resource"], cipher), str(op["type"])) for op in latest.get("pending_operations") or ()
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StateBroken(
            f"the state file {where} has a resource that cannot be read: {error!r}", hint=_RECOVER
        ) from error
    _verify(resources, where)
    salt = str(((latest.get("secrets_providers") or {}).get("state") or {}).get("salt", ""))
    return Snapshot(resources, pending, salt)


_RECOVER: Final = "the previous state is beside it with the ending .bak, and older ones in .pulumi/backups"


def _latest(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StateBroken(f"the state file {where} is not JSON: {error}", hint=_RECOVER) from error
    if not isinstance(document, dict) or "checkpoint" not in document:
        raise StateBroken(f"the state file {where} has no checkpoint", hint=_RECOVER)
    if (version := document.get("version")) != VERSION:
        features = ", ".join(document.get("features") or ()) or "unknown features"
        raise Unsupported(f"state files of version {version} ({features})", where=where)
    checkpoint = document["checkpoint"]
    latest = checkpoint.get("latest") if isinstance(checkpoint, dict) else None
    if latest is not None and not isinstance(latest, dict):
        raise StateBroken(f"the state file {where} has a checkpoint that is not an object", hint=_RECOVER)
    return latest or {}


def _verify(resources: tuple[Resource, ...], where: str) -> None:
    living: set[str] = set()
    seen: set[str] = set()
    for resource in resources:
        if not resource.delete and resource.urn in living:
            raise StateBroken(f"the state file {where} has {resource.urn} twice", hint=_RECOVER)
        for needed in resource.needs():
            if needed not in seen:
                raise StateBroken(
                    f"in the state file {where}, {resource.urn} needs {needed}, which is not before it", hint=_RECOVER
                )
        seen.add(resource.urn)
        if not resource.delete:
            living.add(resource.urn)


def _resource(item: Mapping[str, Any], cipher: Cipher) -> Resource:
    for name in _FOREIGN:
        if item.get(name):
            raise Unsupported(f"{name} in the state", where=str(item["urn"]))
    values: dict[str, Any] = {ours: item.get(theirs, "") for theirs, ours in _TEXT.items()}
    values |= {ours: bool(item.get(theirs)) for theirs, ours in _FLAG.items()}
    values |= {ours: tuple(item.get(theirs) or ()) for theirs, ours in _LIST.items()}
    depends = item.get("propertyDependencies") or {}
    return Resource(
        urn=item["urn"],
        type=item["type"],
        custom=bool(item["custom"]),
        inputs=_open(item.get("inputs") or {}, cipher),
        outputs=_open(item.get("outputs") or {}, cipher),
        property_dependencies={key: tuple(deps or ()) for key, deps in depends.items()},
        custom_timeouts={key: float(value) for key, value in (item.get("customTimeouts") or {}).items()},
        extra={key: value for key, value in item.items() if key not in _KNOWN},
        **values,
    )


def _open(value: Any, cipher: Cipher) -> Any:
    if isinstance(value, list):
        return [_open(item, cipher) for item in value]
    if isinstance(value, dict):
        if value.get(wire.SIGNATURE) == wire.SECRET:
            text = value["plaintext"] if "plaintext" in value else cipher.open(value["ciphertext"])
            return {wire.SIGNATURE: wire.SECRET, "value": orjson.loads(text)}
        return {key: _open(item, cipher) for key, item in value.items()}
    return value


def _close(value: Any, cipher: Cipher, urn: str) -> Any:
    if isinstance(value, list):
        return [_close(item, cipher, urn) for item in value]
    if isinstance(value, dict):
        if value.get(wire.SIGNATURE) == wire.SECRET:
            # A secret inside a secret would be encrypted twice; the outer mark covers it.
            text = orjson.dumps(wire.reveal(value.get("value")), option=orjson.OPT_SORT_KEYS).decode()
            return {wire.SIGNATURE: wire.SECRET, "ciphertext": cipher.close(text, known_as=urn)}
        return {key: _close(item, cipher, urn) for key, item in value.items()}
    return value


def resource_json(resource: Resource, cipher: Cipher) -> dict[str, Any]:
    """One resource as it stands in the file; empty fields are left out, as the CLI does."""
    item: dict[str, Any] = {"urn": resource.urn, "custom": resource.custom}
    item |= {theirs: value for theirs, ours in _FLAG.items() if (value := getattr(resource, ours))}
    item["type"] = resource.type
    for name, props in (("inputs", resource.inputs), ("outputs", resource.outputs)):
        if props:
            item[name] = _close(props, cipher, resource.urn)
    item |= {theirs: value for theirs, ours in _TEXT.items() if (value := getattr(resource, ours))}
    item |= {theirs: list(value) for theirs, ours in _LIST.items() if (value := getattr(resource, ours))}
    if resource.property_dependencies:
        item["propertyDependencies"] = {key: list(deps) for key, deps in resource.property_dependencies.items()}
    if resource.custom_timeouts:
        item["customTimeouts"] = {k: int(v) if v.is_integer() else v for k, v in resource.custom_timeouts.items()}
    return item | dict(resource.extra)


class Encoder:
    """Snapshots as bytes; a resource that did not change is encoded once.

    The file is one JSON document with one resource a line, so that people can compare two of them.
    """

    def __init__(self, stack: str, project: str, cipher: Cipher) -> None:
        self._name = f"organization/{project}/{stack}"
        self._cipher = cipher
        self._done: dict[int, tuple[Resource, bytes]] = {}

    def encode(self, resources: Iterable[Resource], pending: Iterable[Pending], *, salt: str, time: str) -> bytes:
        done: dict[int, tuple[Resource, bytes]] = {}
        lines: list[bytes] = []
        for resource in resources:
            # The resource itself is kept beside its bytes: an identity is only good for as long as its object lives.
            entry = self._done.get(id(resource)) or (resource, orjson.dumps(resource_json(resource, self._cipher)))
            done[id(resource)] = entry
            lines.append(entry[1])
        self._done = done
        operations = [
            orjson.dumps({"resource": resource_json(op.resource, self._cipher), "type": op.kind}) for op in pending
        ]
        parts = [b'"manifest":' + orjson.dumps({"time": time, "magic": "", "version": ""})]
        if salt:
            parts.append(b'"secrets_providers":' + orjson.dumps({"type": "passphrase", "state": {"salt": salt}}))
        if lines:
            parts.append(b'"resources":[\n' + b",\n".join(lines) + b"\n]")
        if operations:
            parts.append(b'"pending_operations":[\n' + b",\n".join(operations) + b"\n]")
        parts.append(b'"metadata":{}')
        head = b'{"version":3,"checkpoint":{"stack":' + orjson.dumps(self._name) + b',"latest":{\n'
        return head + b",\n".join(parts) + b"\n}}}\n"
