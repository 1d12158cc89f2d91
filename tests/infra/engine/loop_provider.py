"""A tiny provider of trivial resources, run as a plugin process: `python loop_provider.py [ENGINE_ADDRESS]`.

Its world is a folder (environment LOOP_WORLD): one JSON file a resource, so tests see what really exists. Resources
`loop:index:Thing` take `value` (updates), `key` (replaces), `token` (secret) and orders: `slow` seconds, `gate` (takes
until the file `open` is there), `fail` text, `half` text (made but not ready), `die` (the process ends during create,
after the thing was made), `stubborn` (does not end when it is asked to). Package config `region` replaces the provider.
With LOOP_FORGETS_SECRETS it takes and gives properties without marks, as many do. A file `broken-ID` makes reads of
that thing fail, `unreadable-ID` makes them wait. Every call is one line in `calls.log`, and so is `MadeAgain`: a create
of what is there.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2

from iacorch.infra.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

WORLD = Path(os.environ["LOOP_WORLD"])
MARKS = not os.environ.get("LOOP_FORGETS_SECRETS")
SIG = "4dabf18193072939515e22adb298388d"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return plain(value["value"]) if SIG in value and "value" in value else {k: plain(v) for k, v in value.items()}
    return value


def decode(struct: Any) -> dict[str, Any]:
    return {key: value_of(value) for key, value in struct.fields.items()}


def value_of(value: Any) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return decode(value.struct_value)
        case "list_value":
            return [value_of(entry) for entry in value.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def encode(props: dict[str, Any]) -> Any:
    struct = struct_pb2.Struct()
    struct.update(props)
    return struct


def note(method: str, urn: str = "") -> None:
    with (WORLD / "calls.log").open("a") as file:
        file.write(f"{method} {urn.rpartition('::')[2]}\n")


def path_of(id_: str) -> Path:
    return WORLD / f"{id_}.json"


def make(id_: str, urn: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """A thing is there, or not: never half of it, whenever the process is killed."""
    half = WORLD / f"{id_}.{os.getpid()}.half"
    half.write_text(json.dumps({"urn": urn, "inputs": inputs, "outputs": outputs}))
    half.replace(path_of(id_))


class Loop:
    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        def unimplemented(request: Any, context: Any) -> None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, method)

        return unimplemented

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=MARKS, accept_resources=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = decode(request.olds), decode(request.news)
        changed = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
        replaces = [k for k in changed if k == "region"]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, replaces=replaces, diffs=changed)

    def Configure(self, request: Any, context: Any) -> Any:
        note("Configure")
        return provider_pb2.ConfigureResponse(acceptSecrets=MARKS, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: Any) -> Any:
        news = decode(request.news)
        failures = []
        if "bad" in plain(news):
            failures.append(provider_pb2.CheckFailure(property="bad", reason="this is not a property"))
        return provider_pb2.CheckResponse(inputs=encode(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = plain(decode(request.old_inputs)), plain(decode(request.news))
        ignored = {"slow", "gate", "fail", "half", "die"}
        changed = [k for k in sorted({*old, *new} - ignored) if old.get(k) != new.get(k)]
        replaces = [k for k in changed if k == "key"]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        detailed = {
            k: provider_pb2.PropertyDiff(kind=5 if k in replaces else 4, inputDiff=True) for k in changed
        }  # fmt: skip
        return provider_pb2.DiffResponse(
            changes=some, replaces=replaces, diffs=changed, deleteBeforeReplace=bool(new.get("single")),
            detailedDiff=detailed, hasDetailedDiff=True,
        )  # fmt: skip

    def Create(self, request: Any, context: Any) -> Any:
        props = decode(request.properties)
        bare = plain(props)
        if request.preview:
            return provider_pb2.CreateResponse(properties=encode({**props, "address": UNKNOWN}))
        note("Create", request.urn)
        if bare.get("fail"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, bare["fail"])
        id_ = request.urn.rpartition("::")[2] + "-" + str(bare.get("key", "0"))
        outputs = {**props, "address": f"10.0.0.{len(list(WORLD.glob('*.json')))}"}
        if path_of(id_).exists():
            note("MadeAgain", request.urn)
        make(id_, request.urn, props, outputs)
        if bare.get("die"):
            os._exit(7)
        if bare.get("stubborn"):
            (WORLD / "stubborn").touch()
        if bare.get("gate"):
            (WORLD / f"making-{id_}").touch()
            while not (WORLD / "open").exists():
                time.sleep(0.02)
        if bare.get("slow"):
            (WORLD / f"making-{id_}").touch()
            time.sleep(float(bare["slow"]))
        if bare.get("half"):
            self._half(context, id_, outputs, bare["half"])
        return provider_pb2.CreateResponse(id=id_, properties=encode(outputs))

    def _half(self, context: Any, id_: str, outputs: dict[str, Any], reason: str) -> None:
        detail = any_pb2.Any()
        detail.Pack(provider_pb2.ErrorResourceInitFailed(id=id_, properties=encode(outputs), reasons=[reason]))
        status = status_pb2.Status(code=13, message="not ready", details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.INTERNAL, "not ready")

    def Read(self, request: Any, context: Any) -> Any:
        note("Read", request.urn)
        while (WORLD / f"unreadable-{request.id}").exists():
            time.sleep(0.05)
        if (WORLD / f"broken-{request.id}").exists():
            context.abort(grpc.StatusCode.INTERNAL, "it cannot be read")
        found = path_of(request.id)
        if not request.id:
            mine = [f for f in WORLD.glob("*.json") if json.loads(f.read_text())["urn"] == request.urn]
            if not mine:
                return provider_pb2.ReadResponse()
            # The one that was asked for, where it is there; else whatever has the URN, as careless providers do.
            named = path_of(f"{request.urn.rpartition('::')[2]}-{plain(decode(request.inputs)).get('key', '0')}")
            found = named if named in mine else mine[0]
        if not found.exists():
            return provider_pb2.ReadResponse()
        thing = json.loads(found.read_text())
        return provider_pb2.ReadResponse(
            id=found.stem, inputs=encode(thing["inputs"]), properties=encode(thing["outputs"])
        )

    def Update(self, request: Any, context: Any) -> Any:
        news = decode(request.news)
        old = decode(request.olds)
        outputs = {**news, "address": old.get("address", "")}
        if not request.preview:
            note("Update", request.urn)
            if plain(news).get("fail"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, plain(news)["fail"])
            make(request.id, request.urn, news, outputs)
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        note("Delete", request.urn)
        if plain(decode(request.properties)).get("sticky"):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it will not go")
        path_of(request.id).unlink(missing_ok=True)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        args = decode(request.args)
        return provider_pb2.InvokeResponse(**{"return": encode({"twice": str(args.get("text", "")) * 2})})

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def end(number: int, frame: Any) -> None:
    if not (WORLD / "stubborn").exists():
        os._exit(0)


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    server = grpc.server(ThreadPoolExecutor(max_workers=32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Loop(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
