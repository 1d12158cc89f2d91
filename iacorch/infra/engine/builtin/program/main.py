"""Runs a Pulumi program in a process of its own. Started by path with the project's Python; imports only pulumi.

In: the path of the program (for people who look at processes) and the number of a pipe, on which one line of JSON
comes: where the monitor listens, the configuration. Out: exit code 33 when the program ran to its end, or 32 after the
error was sent to the engine. Not 0: that is also what a program gives that ended itself half-way, and what it had not
registered by then would be deleted. The counterpart of the executor that comes with Pulumi's language host.
"""

import sys

# Started by path, the first entry is this file's folder, whose modules must not shadow anybody's.
sys.path.pop(0)

import asyncio
import gc
import importlib.machinery
import importlib.util
import json
import logging
import os
import runpy
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

EXIT_TOLD = 32
EXIT_DONE = 33
#: For programs that deploy others, and a fifth of the SDK's start: loaded when it is first looked into.
RARE = "pulumi.automation"
#: Objects made before the collector looks: nearly all that a program makes lives until its end.
GARBAGE = (50_000, 20, 50)
#: The SDK's function that reads the program's stack, in `pulumi.runtime.resource`.
TRACES = "_get_stack_trace"


class Engine:
    """The engine's service as the SDK calls it, without the debug messages that nobody asked for."""

    def __init__(self, address: str) -> None:
        import grpc
        from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))
        self._debug = engine_pb2.DEBUG

    def __getattr__(self, method: str) -> Any:
        return getattr(self._stub, method)

    def Log(self, request: Any) -> Any:  # noqa: N802 the protocol's name
        return self._stub.Log(request) if request.severity != self._debug else None

    def trace(self, text: str) -> None:
        """Send what is shown only to those who debug."""
        from pulumi.runtime.proto import engine_pb2

        self._stub.Log(engine_pb2.LogRequest(severity=self._debug, message=text))


class Postponed:
    """A finder of `RARE` alone, so that importing it runs nothing until one of its names is asked for."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        if name != RARE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def without_stack_traces() -> None:
    """Resources are registered without the program's stack, which the SDK writes down frame by frame for each of them.

    It is for policy packs and `sourcePosition` of the CLI; this engine keeps neither, and it is a third of what a
    resource costs the program. The SDK has no setting for it, so its function is replaced, where it has this one.
    """
    from pulumi.runtime import resource
    from pulumi.runtime.proto import source_pb2

    if hasattr(resource, TRACES):
        setattr(resource, TRACES, source_pb2.StackTrace)


def main() -> int:
    sys.meta_path.insert(0, Postponed)
    gc.disable()  # imports make much and drop nothing
    import pulumi
    import pulumi.runtime

    gc.freeze()
    gc.set_threshold(*GARBAGE)
    gc.enable()
    without_stack_traces()
    with os.fdopen(int(sys.argv[2])) as pipe:
        line = pipe.readline()
    if not line:
        return 0  # the engine gave up before it came to the program
    order = json.loads(line)
    program = order["program"]
    engine = Engine(order["monitor"])
    pulumi.runtime.set_all_config(order["config"], order["secret_keys"])
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=order["project"],
            stack=order["stack"],
            monitor=order["monitor"],
            engine=engine,
            parallel=order["parallel"],
            dry_run=order["dry_run"],
            organization="organization",
            root_directory=order["root"],
        )
    )
    sys.argv = [program]
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what a failed program leaves unawaited is no news
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(1, order["parallel"]) * 4)
    loop.set_default_executor(executor)

    async def run() -> None:
        runpy.run_path(program, run_name="__main__")
        # Registrations are tasks that count as calls once they have begun. While none has, the SDK waits for outputs
        # instead, and goes through all that are outstanding each time that one is there: time by the square.
        await asyncio.sleep(0)  # noqa: TID251 no time passes, and this process has nothing of ours

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return EXIT_TOLD
    except Exception as error:  # noqa: BLE001 the outermost handler of a foreign program
        engine.trace(traceback.format_exc())
        pulumi.log.error(_describe(error, program))
        return EXIT_TOLD
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return EXIT_DONE


def _describe(error: Exception, program: str) -> str:
    """The error in one line, then where in the user's own code."""
    home = os.path.abspath(program if os.path.isdir(program) else os.path.dirname(program))
    trace = traceback.extract_tb(error.__traceback__)
    frames = [f for f in trace if f.filename[0] != "<" and os.path.abspath(f.filename).startswith(home)]
    if isinstance(error, SyntaxError):
        frames = []
    lines = [f"{type(error).__name__}: {error}"]
    lines += [f"  at {f.filename}:{f.lineno} in {f.name}" for f in reversed(frames)]
    if isinstance(hint := getattr(error, "hint", ""), str) and hint:  # errors of ours say what to do
        lines.append(f"  {hint}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
