"""One provider plugin: call it, and say clearly when it fails.

In: a running process and its channel (`host.py` starts them). Out: `Plugin`, whose methods mirror Pulumi's
ResourceProvider service with plain dicts (`proto/pulumi/provider.proto`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import orjson

from iacorch.infra.engine.builtin import child
from iacorch.infra.engine.builtin.decisions.steps import Diff, compare, show
from iacorch.infra.engine.builtin.values import assets, urn, wire
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.contract import Change
from iacorch.infra.engine.errors import CallTimedOut, PluginDied, ResourceFailed
from iacorch.infra.protocol import provider_pb2, provider_pb2_grpc, status_pb2
from iacorch.kit import limits

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", limits.ENGINE_MESSAGE_BYTES),
    ("grpc.max_send_message_length", limits.ENGINE_MESSAGE_BYTES),
)
_DIED: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


class HalfMade(ResourceFailed):
    """A create, update or read ended with the resource there but not ready; it keeps its ID and is resumed."""

    def __init__(self, reasons: Sequence[str], *, id_: str, outputs: Props, inputs: Props, urn: str) -> None:
        super().__init__("; ".join(reasons) or "initialisation failed", urn=urn)
        self.reasons, self.id, self.outputs, self.inputs = tuple(reasons), id_, outputs, inputs


@dataclass(frozen=True, slots=True)
class Read:
    """What a provider found; an empty ID means that the resource is gone."""

    id: str
    inputs: Props
    outputs: Props


class Plugin:
    """One running provider plugin, configured or not."""

    def __init__(self, package: str, process: child.Child, channel: Any, folder: Path) -> None:
        """`folder`: where the process runs, so what relative paths in its answers are meant from."""
        self.package = package
        self._folder = folder
        self._process = process
        self._channel = channel
        self._stub = provider_pb2_grpc.ResourceProviderStub(channel)
        self._secrets = self._references = self._preview = self._outputs = False
        self.configured = False

    async def handshake(self, engine_address: str, root: Path, program: Path) -> None:
        """Optional in the protocol: an old plugin answers UNIMPLEMENTED."""
        request = provider_pb2.ProviderHandshakeRequest(
            engine_address=engine_address,
            root_directory=str(root),
            program_directory=str(program),
            configure_with_urn=True,
        )
        try:
            await self._stub.Handshake(request, timeout=limits.ENGINE_PLUGIN_START_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise self._translate(error, "Handshake", "") from error

    async def check_config(self, urn_: str, old: Props, new: Props) -> Props:
        request = provider_pb2.CheckRequest(
            urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_), olds=wire.encode(old), news=wire.encode(new)
        )
        answer = await self._call("CheckConfig", request, urn_, optional=True)
        return new if answer is None else await self._checked(answer, urn_, new)

    async def diff_config(self, urn_: str, id_: str, old: Props, outputs: Props, new: Props) -> Diff:
        request = provider_pb2.DiffRequest(
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            olds=wire.encode(outputs), news=wire.encode(new), old_inputs=wire.encode(old),
        )  # fmt: skip
        answer = await self._call("DiffConfig", request, urn_, optional=True)
        unknown = provider_pb2.DiffResponse()
        return _diff(answer or unknown, outputs, new, outputs)

    async def configure(self, urn_: str, id_: str, inputs: Props) -> None:
        """Give the plugin its configuration; with anything unknown it stays unconfigured (a preview)."""
        if wire.has_unknown(inputs):
            return
        prefix = f"{self.package}:config:"
        plain = wire.reveal(inputs)
        variables = {prefix + key: _variable(value) for key, value in plain.items() if key != "version"}
        request = provider_pb2.ConfigureRequest(
            variables=variables, args=wire.encode(inputs), acceptSecrets=True, acceptResources=True,
            sends_old_inputs=True, sends_old_inputs_to_delete=True,
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
        )  # fmt: skip
        answer = await self._call("Configure", request, urn_)
        self._secrets, self._references = answer.acceptSecrets, answer.acceptResources
        self._preview, self._outputs = answer.supportsPreview, answer.acceptOutputs
        self.configured = True

    async def check(self, urn_: str, old: Props, new: Props, seed: bytes) -> Props:
        """The inputs with defaults filled in; ResourceFailed lists what is wrong with them."""
        if not self.configured:
            return new
        request = provider_pb2.CheckRequest(
            urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            olds=self._out(old), news=self._out(new), randomSeed=seed,
        )  # fmt: skip
        return await self._checked(await self._call("Check", request, urn_), urn_, new)

    async def diff(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str] = ()
    ) -> Diff:
        if not self.configured:
            return Diff(True, changes=compare(old, new))
        request = provider_pb2.DiffRequest(
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            olds=self._out(outputs), news=self._out(new), old_inputs=self._out(old), ignoreChanges=list(ignore),
        )  # fmt: skip
        return _diff(await self._call("Diff", request, urn_), old, new, outputs)

    async def create(self, urn_: str, inputs: Props, *, timeout: float, preview: bool) -> tuple[str, Props]:
        if preview and not (self.configured and self._preview):
            return "", inputs if self.configured else {}
        request = provider_pb2.CreateRequest(
            urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            properties=self._out(inputs), timeout=timeout, preview=preview,
        )  # fmt: skip
        answer = await self._call("Create", request, urn_, seconds=_patience(timeout), given=(inputs, inputs))
        if not answer.id and not preview:
            raise ResourceFailed(f"the provider {self.package} created it and gave no ID", urn=urn_)
        return answer.id, await self._in(answer.properties, inputs)

    async def update(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str], timeout: float,
        preview: bool,
    ) -> Props:  # fmt: skip
        if preview and not (self.configured and self._preview):
            return new if self.configured else {}
        request = provider_pb2.UpdateRequest(
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_), olds=self._out(outputs),
            news=self._out(new), old_inputs=self._out(old), timeout=timeout, ignoreChanges=list(ignore),
            preview=preview,
        )  # fmt: skip
        answer = await self._call("Update", request, urn_, seconds=_patience(timeout), given=(new, new))
        return await self._in(answer.properties, new)

    async def delete(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float) -> None:
        request = provider_pb2.DeleteRequest(
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            properties=self._out(outputs), old_inputs=self._out(inputs), timeout=timeout,
        )  # fmt: skip
        await self._call("Delete", request, urn_, seconds=_patience(timeout))

    async def read(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float = 0.0) -> Read:
        """What is there now. With an empty ID: whatever the provider finds for this URN and these inputs.

        Providers hear how long a read may take, and few keep to it; so it holds here too, to the second. One that has
        no configuration yet (a preview) is not asked: it would look in the wrong place.
        """
        if not self.configured:
            return Read(id_, inputs, {})
        request = provider_pb2.ReadRequest(
            id=id_, urn=urn_, name=urn.name_of(urn_), type=urn.type_of(urn_),
            properties=self._out(outputs), inputs=self._out(inputs), timeout=timeout,
        )  # fmt: skip
        patience = timeout or limits.ENGINE_PLUGIN_CALL_SECONDS
        answer = await self._call("Read", request, urn_, seconds=patience, given=(inputs, outputs))
        found = wire.decode(answer.inputs) if answer.HasField("inputs") else inputs
        return Read(answer.id, wire.keep_secret(found, inputs), await self._in(answer.properties, outputs))

    async def invoke(self, token: str, arguments: Props, *, preview: bool) -> tuple[Props, Sequence[Any]]:
        request = provider_pb2.InvokeRequest(tok=token, args=self._out(arguments), preview=preview)
        answer = await self._call("Invoke", request, token)
        return wire.decode(getattr(answer, "return")), answer.failures

    async def construct(self, request: Any, inputs: Props) -> Any:
        """Have it construct a component; it may take as long as all the resources in it."""
        request.inputs.CopyFrom(self._deep(inputs))
        return await self._call("Construct", request, request.type, seconds=None)

    async def call(self, request: Any, arguments: Props) -> Any:
        """Call a method of a resource."""
        request.args.CopyFrom(self._deep(arguments))
        return await self._call("Call", request, request.tok, seconds=None)

    async def close(self) -> None:
        await self._channel.close()
        await self._process.stop()

    def _out(self, props: Props) -> Any:
        value: Any = props if self._secrets else wire.reveal(props)
        return wire.encode(value if self._references else wire.without_references(value))

    def _deep(self, props: Props) -> Any:
        """Like `_out`, with the output values of a program left in place for a provider that knows them."""
        return self._out(props if self._outputs else wire.lower(props, set()))

    async def _in(self, struct: Any, given: Props) -> Props:
        outputs = await assets.settle(wire.decode(struct), self._folder)
        return outputs if self._secrets else wire.keep_secret(outputs, given)

    async def _checked(self, answer: Any, urn_: str, given: Props) -> Props:
        if answer.failures:
            lines = [f"{f.property}: {f.reason}" if f.property else f.reason for f in answer.failures]
            raise ResourceFailed("its inputs were refused: " + "; ".join(lines), urn=urn_)
        inputs = await assets.settle(wire.decode(answer.inputs), self._folder, where=urn_)
        return inputs if self._secrets else wire.keep_secret(inputs, given)

    async def _call(
        self, method: str, request: Any, urn_: str, *, seconds: float | None = limits.ENGINE_PLUGIN_CALL_SECONDS,
        optional: bool = False, given: tuple[Props, Props] = ({}, {}),
    ) -> Any:  # fmt: skip
        """`given`: inputs and outputs whose secrets stay secret in what is half made."""
        try:
            return await getattr(self._stub, method)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if optional and error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return None
            failure = self._translate(error, method, urn_)
            if isinstance(failure, HalfMade) and not self._secrets:
                failure.inputs = wire.keep_secret(failure.inputs, given[0])
                failure.outputs = wire.keep_secret(failure.outputs, given[1])
            raise failure from error

    def _translate(self, error: grpc.aio.AioRpcError, method: str, urn_: str) -> Exception:
        if (half := _half_made(error, urn_)) is not None:
            return half
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return CallTimedOut(
                f"the provider {self.package} did not finish {method} in time", urn=urn_,
                hint="run the same command again: it looks first at what became of the operation",
            )  # fmt: skip
        if error.code() in _DIED:
            said = f"; it said last:\n{self._process.tail}" if self._process.tail else ""
            return PluginDied(
                f"the provider plugin {self.package} ended during {method}" + (f" of {urn_}" if urn_ else "") + said,
                hint="run the same command again: it looks first at what became of the operation",
            )
        return ResourceFailed(error.details() or f"{method} failed with {error.code().name}", urn=urn_)


def _half_made(error: grpc.aio.AioRpcError, urn_: str) -> HalfMade | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                if detail.type_url.rpartition("/")[2].endswith("ErrorResourceInitFailed"):
                    failed = provider_pb2.ErrorResourceInitFailed.FromString(detail.value)
                    return HalfMade(
                        list(failed.reasons),
                        id_=failed.id,
                        outputs=wire.decode(failed.properties),
                        inputs=wire.decode(failed.inputs),
                        urn=urn_,
                    )
    return None


def _diff(answer: Any, old: Props, new: Props, outputs: Props) -> Diff:
    """The provider's answer; where it does not know, inputs are compared. `outputs` serve to show old values."""
    if answer.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN:
        changes = compare(wire.reveal(old), wire.reveal(new))
        changed = bool(changes) or bool(answer.replaces)
        return Diff(changed, tuple(answer.replaces), answer.deleteBeforeReplace, compare(old, new))
    changed = answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    replaces = tuple(answer.replaces)
    if answer.hasDetailedDiff or answer.detailedDiff:
        shown = {c.path: c for c in compare(old, new)}
        detailed = []
        for path, item in sorted(answer.detailedDiff.items()):
            name = provider_pb2.PropertyDiff.Kind.Name(item.kind)
            known = shown.get(path) or Change(path, show(outputs.get(path)), show(new.get(path)))
            detailed.append(Change(path, known.old, known.new, replaces=name.endswith("_REPLACE")))
        forced = tuple(c.path for c in detailed if c.replaces)
        return Diff(changed, (*replaces, *forced), answer.deleteBeforeReplace, tuple(detailed), tuple(answer.diffs))
    changes = tuple(
        Change(c.path, c.old, c.new, replaces=c.path.partition(".")[0] in replaces) for c in compare(old, new)
    )
    return Diff(changed, replaces, answer.deleteBeforeReplace, changes if changed else (), tuple(answer.diffs))


def _variable(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _patience(timeout: float) -> float:
    return timeout + limits.ENGINE_OPERATION_GRACE_SECONDS if timeout else limits.ENGINE_OPERATION_SECONDS
