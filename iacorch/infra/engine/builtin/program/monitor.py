"""The side of the protocol that programs see: ResourceMonitor and Engine, on one loopback port.

In: gRPC requests of the Pulumi SDK (`proto/pulumi/resource.proto`, `engine.proto`). Out: answers, once they are on
disk. What this engine does not do is refused here, by the name a program's author knows it by. The servicer has no
state of its own but the root resource and which components bring providers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf import empty_pb2

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.decisions.aliases import Alias
from iacorch.infra.engine.builtin.decisions.steps import Registration
from iacorch.infra.engine.builtin.execution.deployment import Deployment
from iacorch.infra.engine.builtin.plugins.plugin import CHANNEL_OPTIONS
from iacorch.infra.engine.builtin.plugins.providers import with_version
from iacorch.infra.engine.builtin.program import remote
from iacorch.infra.engine.builtin.program.transforms import Transforms
from iacorch.infra.engine.builtin.values import assets, urn, wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Diagnostic, Progress, Severity
from iacorch.infra.engine.errors import Interrupted, ResourceFailed, Unsupported
from iacorch.infra.protocol import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

#: Fields of a registration that ask for something else, with the words programs use for it.
_REFUSED: Final = {
    "hooks": "resource hooks",
    "replace_with": "the option `replace_with`",
    "replacement_trigger": "the option `replacement_trigger`",
    "packageRef": "parameterized packages",
    "pluginDownloadURL": "the option `plugin_download_url`",
    "stateMigrations": "state migrations",
    "state_migrations": "state migrations",
    "envVarMappings": "the option `env_var_mappings`",
}
#: What programs may ask for: Pulumi's ResourceMonitorFeature, and the same as older SDKs name it.
_FEATURES: Final = (0, 1, 2, 3, 5, 7, 8)
_FEATURE_NAMES: Final = frozenset(
    {"secrets", "resourceReferences", "outputValues", "aliasSpecs", "deletedWith", "transforms", "invokeTransforms"}
)
_RPC_NAMES: Final = {
    "RegisterResourceHook": "resource hooks",
    "RegisterErrorHook": "error hooks",
    "RegisterPackage": "parameterized packages",
    "StartDebugging": "debugging",
}
_SEVERITIES: Final = {0: Severity.DEBUG, 1: Severity.INFO, 2: Severity.WARNING, 3: Severity.ERROR}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def seconds(duration: str) -> float:
    """A duration as Go writes it: `1h30m`, `90s`."""
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ResourceFailed(f"{duration!r} is no duration; write for example 90s or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class Monitor:
    """One servicer for both services; its methods are the protocol's."""

    def __init__(
        self, deployment: Deployment, *, stack: str, project: str, folder: Path, config: Mapping[str, str],
        secret_keys: frozenset[str], on_error_log: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`folder`: where the program runs, so what its relative paths are meant from."""
        self._deployment = deployment
        self._stack, self._project, self._folder = stack, project, folder
        self.address = ""
        self._config, self._secret_keys = config, secret_keys
        self._on_error_log = on_error_log
        self._root = ""
        self._transforms = Transforms()
        self._providers: dict[str, Mapping[str, str]] = {}
        self._parents: dict[str, str] = {}
        self._goals: dict[str, Registration] = {}

    def __getattr__(self, method: str) -> Any:
        """Every call of the protocol that has no method here is refused by name."""
        if method.startswith("_"):
            raise AttributeError(method)

        async def refuse(request: Any, context: Any) -> NoReturn:
            await self._abort(context, Unsupported(_RPC_NAMES.get(method, f"the call {method}")))

        return refuse

    async def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return resource_pb2.DeploymentInfo(
            project=self._project,
            stack=self._stack,
            organization="organization",
            config=dict(self._config),
            configSecretKeys=sorted(self._secret_keys),
            dryRun=self._deployment.preview,
            parallel=self._deployment.options.parallel,
            supportedFeatures=_FEATURES,
        )

    async def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURE_NAMES)

    async def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        try:
            request = await self._transforms.registration(request, self._above(request.parent))
            if request.remote:
                return await self._construct(request, context)
            wanted = await self._wanted(request)
            self._goals[wanted.urn] = wanted
            self._transforms.of(wanted.urn, request.transforms)
            found = await self._deployment.register(wanted)
        except EngineError as error:
            await self._abort(context, error)
        resource = found.resource
        self._parents[resource.urn] = resource.parent
        if request.providers:
            self._providers[resource.urn] = dict(request.providers)
        response = resource_pb2.RegisterResourceResponse(
            urn=resource.urn,
            id="" if resource.id == wire.UNKNOWN and not resource.is_provider else resource.id,
            unknown=found.skipped,
            object=wire.encode(resource.outputs if resource.custom else {}),
        )
        for key, deps in resource.property_dependencies.items():
            response.propertyDependencies[key].urns.extend(deps)
        return response

    async def _construct(self, request: Any, context: Any) -> Any:
        """A component of a provider: what it is made of is registered by the provider."""
        urn_ = self._checked(request)
        reference = await self._provider(request)
        plugin = await self._deployment.providers.serving(reference)
        inputs = await assets.settle(wire.decode(request.object), self._folder, where=urn_)
        self._deployment.execution.go_on()
        return await remote.construct(
            request, inputs, plugin, self._surroundings(), lambda bare: self.RegisterResource(bare, context)
        )

    async def Call(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        try:
            self._refuse_unknown(request, request.tok)
            own = self._goals.get(remote.self_of(request))
            reference = remote.provider_of_method(request) or request.provider or (own.provider if own else "")
            if not reference:
                package = urn.package_of(request.tok)
                reference = await self._deployment.default_provider(package, request.version)
            plugin = await self._deployment.providers.serving(reference)
            return await remote.call(request, plugin, self._surroundings())
        except EngineError as error:
            self._deployment.execution.fail(error)
            await self._abort(context, error)

    async def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        try:
            urn_ = urn.make(self._stack, self._project, request.parent, request.type, request.name)
            self._refuse_unknown(request, urn_)
            needs: set[str] = set()
            inputs: Any = wire.lower(wire.decode(request.properties), needs, where=urn_)
            wanted = Resource(
                urn=urn_, type=request.type, custom=True, external=True, id=request.id or wire.UNKNOWN, inputs=inputs,
                parent=request.parent, dependencies=tuple(sorted({*request.dependencies, *needs})),
                provider=await self._provider(request),
                additional_secret_outputs=tuple(request.additionalSecretOutputs),
            )  # fmt: skip
            found = await self._deployment.read(wanted)
        except EngineError as error:
            await self._abort(context, error)
        self._parents[found.urn] = found.parent
        return resource_pb2.ReadResourceResponse(urn=found.urn, id=found.id, properties=wire.encode(found.outputs))

    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        try:
            outputs: Any = wire.lower(wire.decode(request.outputs), set(), where=request.urn)
            outputs = await assets.settle(outputs, self._folder, where=request.urn)
            await self._deployment.register_outputs(request.urn, outputs)
        except EngineError as error:
            self._deployment.execution.fail(error)
            await self._abort(context, error)
        return empty_pb2.Empty()

    async def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        try:
            request = await self._transforms.invoke(request)
            if request.tok.startswith("pulumi:pulumi:"):
                raise Unsupported(f"the function {request.tok} (stack references)")
            reference = request.provider or await self._deployment.default_provider(
                urn.package_of(request.tok), request.version
            )
            plugin = await self._deployment.providers.serving(reference)
            arguments: Any = wire.lower(wire.decode(request.args), set(), where=request.tok)
            if not plugin.configured or wire.has_unknown(arguments):
                return resource_pb2.ResourceInvokeResponse()
            answer, failures = await plugin.invoke(request.tok, arguments, preview=self._deployment.preview)
        except EngineError as error:
            self._deployment.execution.fail(error)
            await self._abort(context, error)
        response = resource_pb2.ResourceInvokeResponse(failures=failures)
        getattr(response, "return").CopyFrom(wire.encode(answer))
        return response

    async def RegisterStackTransform(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        self._transforms.for_all(request)
        return empty_pb2.Empty()

    async def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        self._transforms.for_invokes(request)
        return empty_pb2.Empty()

    async def close(self) -> None:
        """Let go of the program's callbacks."""
        await self._transforms.close()

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        """Programs wait here for callbacks of the engine; this one has none, so they may go."""
        return empty_pb2.Empty()

    async def GetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    async def SetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def RequirePulumiVersion(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        """Programs may ask for a version of the CLI; what they need of it is refused where it is asked for."""
        return engine_pb2.RequirePulumiVersionResponse()

    async def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        severity = _SEVERITIES.get(request.severity, Severity.INFO)
        if severity is Severity.ERROR and not request.urn:
            self._on_error_log(request.message)
        elif request.ephemeral:
            self._deployment.execution.listen(Progress(request.message.rstrip(), request.urn))
        else:
            self._deployment.execution.listen(Diagnostic(severity, request.message.rstrip(), request.urn))
        return empty_pb2.Empty()

    async def _wanted(self, request: Any) -> Registration:
        """The registration a request asks for, with its inputs lowered and its provider found."""
        urn_ = self._checked(request)
        above = self._goals.get(request.parent)
        inputs: wire.Props = {}
        needs: dict[str, set[str]] = {k: set(deps.urns) for k, deps in request.propertyDependencies.items()}
        for key, value in wire.decode(request.object).items():
            inputs[key] = wire.lower(value, needs.setdefault(key, set()), where=urn_)
        inputs = await assets.settle(inputs, self._folder, where=urn_)
        dependencies = {*request.dependencies, *(u for found in needs.values() for u in found)}
        provider = ""
        if urn.is_provider(request.type):
            inputs = with_version(inputs, request.version)
        elif request.custom:
            provider = await self._provider(request)
        times = request.customTimeouts
        named = {name: getattr(times, name) for name in ("create", "update", "delete", "read")}
        return Registration(
            urn=urn_,
            type=request.type,
            custom=request.custom,
            inputs=inputs,
            parent=request.parent,
            provider=provider,
            dependencies=tuple(sorted(dependencies)),
            property_dependencies={k: tuple(sorted(v)) for k, v in needs.items()},
            protect=request.protect if request.HasField("protect") or above is None else above.protect,
            retain_on_delete=(
                request.retainOnDelete
                if request.HasField("retainOnDelete") or above is None
                else above.retain_on_delete
            ),
            delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            custom_timeouts={name: seconds(text) for name, text in named.items() if text},
            aliases=(*map(_alias, request.aliases), *(Alias(urn=text) for text in request.aliasURNs)),
            deleted_with=request.deletedWith or (above.deleted_with if above else ""),
            import_id=request.importId,
        )

    def _checked(self, request: Any) -> str:
        """The URN of a registration that asks for nothing that this engine does not do."""
        urn_ = urn.make(self._stack, self._project, request.parent, request.type, request.name)
        self._refuse_unknown(request, urn_)
        return urn_

    def _refuse_unknown(self, request: Any, where: str) -> None:
        present = {d.name for d, value in request.ListFields() if not hasattr(value, "ByteSize") or value.ByteSize()}
        for field, words in _REFUSED.items():
            if field in present:
                self._refuse(words, where)

    def _surroundings(self) -> remote.Surroundings:
        options, preview = self._deployment.options, self._deployment.preview
        return remote.Surroundings(
            self._project, self._stack, self._config, self._secret_keys, preview, options.parallel, self.address
        )

    async def _provider(self, request: Any) -> str:
        """The provider that serves a request: its own, its parents', or the default one."""
        package = urn.package_of(request.type)
        own: Mapping[str, str] = getattr(request, "providers", {})
        found = request.provider or own.get(package, "") or self._inherited(request.parent, package)
        return found or await self._deployment.default_provider(package, request.version)

    def _inherited(self, parent: str, package: str) -> str:
        found = (self._providers.get(urn_, {}).get(package, "") for urn_ in self._above(parent))
        return next(filter(None, found), "")

    def _above(self, parent: str) -> Iterator[str]:
        """The parent, its parent, and so on."""
        while parent:
            yield parent
            parent = self._parents.get(parent, "")

    def _refuse(self, feature: str, where: str) -> NoReturn:
        error = Unsupported(feature, where=where)
        self._deployment.execution.fail(error)
        raise error

    async def _abort(self, context: Any, error: EngineError) -> NoReturn:
        """End a call. The program hears that the monitor is going, as from Pulumi's own; people hear the reason."""
        if not isinstance(error, Interrupted):
            self._deployment.execution.fail(error)
        await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
        raise AssertionError("abort returns never")


def _alias(message: Any) -> Alias:
    if message.urn:
        return Alias(urn=message.urn)
    spec = message.spec
    return Alias(
        name=spec.name, type=spec.type, stack=spec.stack, project=spec.project, parent=spec.parentUrn,
        orphan=spec.noParent,
    )  # fmt: skip


async def serve(servicer: Monitor) -> Any:
    """Start the server; its address is the servicer's."""
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(servicer, server)
    engine_pb2_grpc.add_EngineServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    return server
