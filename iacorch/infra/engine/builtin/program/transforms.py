"""Transforms: functions of the program that change registrations and function calls before the engine sees them.

In: requests of the protocol, and callbacks that the program registered. Out: changed requests. The engine calls the
program back (`proto/pulumi/callback.proto`): first a resource's own transforms, then those of its parents from the
inside out, then the stack's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
import grpc.aio

from iacorch.infra.engine.builtin.plugins.plugin import CHANNEL_OPTIONS
from iacorch.infra.engine.errors import ProgramFailed
from iacorch.infra.protocol import callback_pb2, callback_pb2_grpc, resource_pb2

#: Fields of a registration, and what transforms know them as.
_OPTIONS: Final[Mapping[str, str]] = {
    "dependencies": "depends_on",
    "protect": "protect",
    "ignoreChanges": "ignore_changes",
    "replaceOnChanges": "replace_on_changes",
    "version": "version",
    "aliases": "aliases",
    "provider": "provider",
    "customTimeouts": "custom_timeouts",
    "pluginDownloadURL": "plugin_download_url",
    "retainOnDelete": "retain_on_delete",
    "deletedWith": "deleted_with",
    "deleteBeforeReplace": "delete_before_replace",
    "additionalSecretOutputs": "additional_secret_outputs",
    "providers": "providers",
    "hooks": "hooks",
    "importId": "import",
    "replace_with": "replace_with",
    "replacement_trigger": "replacement_trigger",
}
_INVOKE_OPTIONS: Final[Mapping[str, str]] = {
    "provider": "provider",
    "version": "version",
    "pluginDownloadURL": "plugin_download_url",
}


class Transforms:
    """The callbacks of one program."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._invokes: list[Any] = []
        self._own: defaultdict[str, Sequence[Any]] = defaultdict(tuple)
        self._channels: dict[str, Any] = {}

    def for_all(self, callback: Any) -> None:
        self._stack.append(callback)

    def for_invokes(self, callback: Any) -> None:
        self._invokes.append(callback)

    def of(self, urn: str, callbacks: Iterable[Any]) -> None:
        """A resource's own transforms hold for its children too."""
        if found := tuple(callbacks):
            self._own[urn] = found

    async def registration(self, request: Any, parents: Iterable[str]) -> Any:
        """A RegisterResourceRequest as the transforms leave it; `parents` from the inside out."""
        callbacks = [*request.transforms, *(c for urn in parents for c in self._own[urn]), *self._stack]
        if not callbacks:
            return request
        changed = type(request)()
        changed.CopyFrom(request)
        for callback in callbacks:
            options = resource_pb2.TransformResourceOptions()
            _copy(changed, options, _OPTIONS.items())
            if not changed.deleteBeforeReplaceDefined:
                options.ClearField("delete_before_replace")
            asked = resource_pb2.TransformRequest(
                type=changed.type, name=changed.name, custom=changed.custom, parent=changed.parent,
                properties=changed.object, options=options,
            )  # fmt: skip
            answer = await self._call(callback, asked, resource_pb2.TransformResponse.FromString, request.name)
            changed.object.CopyFrom(answer.properties)
            if answer.HasField("options"):
                for field in _OPTIONS:
                    changed.ClearField(field)
                _copy(answer.options, changed, ((theirs, ours) for ours, theirs in _OPTIONS.items()))
                changed.deleteBeforeReplaceDefined = answer.options.HasField("delete_before_replace")
        return changed

    async def invoke(self, request: Any) -> Any:
        """A ResourceInvokeRequest as the transforms leave it."""
        if not self._invokes:
            return request
        changed = type(request)()
        changed.CopyFrom(request)
        for callback in self._invokes:
            options = resource_pb2.TransformInvokeOptions()
            _copy(changed, options, _INVOKE_OPTIONS.items())
            asked = resource_pb2.TransformInvokeRequest(token=changed.tok, args=changed.args, options=options)
            answer = await self._call(callback, asked, resource_pb2.TransformInvokeResponse.FromString, request.tok)
            changed.args.CopyFrom(answer.args)
            if answer.HasField("options"):
                _copy(answer.options, changed, ((theirs, ours) for ours, theirs in _INVOKE_OPTIONS.items()))
        return changed

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def _call(self, callback: Any, asked: Any, read: Callable[[bytes], Any], what: str) -> Any:
        if callback.target not in self._channels:
            self._channels[callback.target] = grpc.aio.insecure_channel(callback.target, options=CHANNEL_OPTIONS)
        stub = callback_pb2_grpc.CallbacksStub(self._channels[callback.target])
        request = callback_pb2.CallbackInvokeRequest(token=callback.token, request=asked.SerializeToString())
        try:
            return read((await stub.Invoke(request)).response)
        except grpc.aio.AioRpcError as error:
            raise ProgramFailed(f"a transform of {what} failed: {error.details()}") from error


def _copy(source: Any, target: Any, names: Iterable[tuple[str, str]]) -> None:
    """Copy the fields that are set, whatever their kind."""
    present = {descriptor.name: value for descriptor, value in source.ListFields()}
    for name, other in names:
        if name not in present:
            continue
        value = present[name]
        if hasattr(value, "CopyFrom") and hasattr(value, "ListFields"):
            getattr(target, other).CopyFrom(value)
        elif hasattr(value, "items"):
            getattr(target, other).update(value)
        elif hasattr(value, "extend"):
            getattr(target, other).extend(value)
        else:
            setattr(target, other, value)
