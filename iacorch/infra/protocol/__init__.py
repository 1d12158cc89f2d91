"""Pulumi's wire protocol: the stubs that its SDK ships, without the SDK.

Whoever imports `pulumi.runtime.proto` runs all of `pulumi` first: what programs need, the Automation API, tracing. That
is two thirds of the start of an engine or a provider, which use none of it. So the folder of the stubs is this package,
too: `from iacorch.infra.protocol import provider_pb2`. The messages are the same classes as the SDK's, as protobuf has
one for each descriptor.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        callback_pb2,
        callback_pb2_grpc,
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        resource_pb2,
        resource_pb2_grpc,
        status_pb2,
    )

_SDK = find_spec("pulumi")  # finds it, and runs nothing
if _SDK is None or not _SDK.submodule_search_locations:
    raise ModuleNotFoundError("No module named 'pulumi'", name="pulumi")
__path__ = [str(Path(_SDK.submodule_search_locations[0], "runtime", "proto"))]

__all__ = [
    "callback_pb2",
    "callback_pb2_grpc",
    "engine_pb2",
    "engine_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
    "resource_pb2",
    "resource_pb2_grpc",
    "status_pb2",
]
