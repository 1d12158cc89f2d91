"""ControlPlane: a machine that SSH reaches, running `iacorchd`.

Its join token is drawn here and kept as a secret in the state and on the machine; CA and kubeconfig are fetched from
the machine once it runs. A change of the machine replaces; every other change runs bootstrap again. Called by the
servicer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from iacorch.errors import ApiError, ConfigError, EngineError
from iacorch.infra.bootstrap.errors import PlaybookFailed, RemoteFailed, WentBack
from iacorch.infra.bootstrap.facts import Facts
from iacorch.infra.bootstrap.plan import (
    CONTROL_PLANE_DATA_DIR,
    CONTROL_PLANE_UNIT,
    ControlPlaneConfig,
    plan_control_plane,
)
from iacorch.infra.bootstrap.ssh import SshSession
from iacorch.infra.machines.docker_provider.wire import UNKNOWN, has_unknown
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import CUT_SHORT, HalfMade, Made, Properties, Request, words
from iacorch.infra.provider.resources import cluster
from iacorch.infra.provider.resources.machine import CONNECTION, MACHINE_ID, RELEASE, SEEN, Machines, seen, target_of
from iacorch.kit import limits
from iacorch.kit.ids import Ids

SPEC = ResourceSpec(
    token="iacorch:index:ControlPlane",
    description="A machine, reachable by SSH, as the control plane.",
    inputs=(
        CONNECTION,
        MACHINE_ID,
        RELEASE,
        Property("port", "integer", "Port of the API.", default=6443),
        Property("advertise", "string", "HOST:PORT under which nodes reach the API; by default the machine's host."),
        Property("endpoint", "string", "HOST:PORT under which people reach the API, for example a published port."),
        Property("tlsSans", "strings", "Further names and addresses in the API's certificate."),
    ),
    outputs=(
        *SEEN,
        Property("address", "string", "Host part of `advertise`."),
        Property("server", "string", "URL of the API as nodes reach it."),
        Property("apiEndpoint", "string", "URL of the API as people reach it."),
        Property("caCert", "string", "The CA of the API (PEM)."),
        Property("kubeconfig", "string", "The administrator's kubeconfig.", secret=True),
        Property("joinToken", "string", "Lets machines join.", secret=True),
    ),
    healthy={"reachable": True, "serviceActive": True},
)

_NEXT = "iacorch-next\n"
_FETCH = f"""\
set -e
cat {CONTROL_PLANE_DATA_DIR}/ca.crt
echo {_NEXT.strip()}
cat {CONTROL_PLANE_DATA_DIR}/admin.kubeconfig
"""


class ControlPlanes:
    """Implements `Resource`."""

    spec = SPEC

    def __init__(self, machines: Machines, ids: Ids) -> None:
        self._machines, self._ids = machines, ids
        self._clock = machines.clock

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        host, port = (inputs.get("connection") or {}).get("host"), inputs.get("port", 6443)
        advertise = inputs.get("advertise") or (UNKNOWN if has_unknown([host, port]) else f"{host}:{port}")
        endpoint = inputs.get("endpoint") or advertise
        return {**inputs, "advertise": advertise, "endpoint": endpoint, "release": self._machines.release}

    def check(self, inputs: Properties) -> Sequence[Failure]:
        failures = []
        for name in ("advertise", "endpoint"):
            value = inputs.get(name)
            if isinstance(value, str) and value != UNKNOWN and not _is_address(value):
                failures.append(Failure(name, f"expected HOST:PORT, found {value!r}"))
        port = inputs.get("port")
        if isinstance(port, int) and not 0 < port < 65_536:
            failures.append(Failure("port", f"expected 1 to 65535, found {port}"))
        return failures

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        return old.get("connection") == new.get("connection")  # one machine cannot be two control planes

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        stays = {name: state[name] for name in ("caCert", "joinToken", "hostKeys", "os") if name in state}
        if state.get("apiEndpoint") == _url(inputs["endpoint"]):
            stays["kubeconfig"] = state.get("kubeconfig", UNKNOWN)
        unknown = {p.name: UNKNOWN for p in SPEC.outputs}
        return {**unknown, **_addresses(inputs), **stays, "reachable": True, "serviceActive": True}

    async def create(self, request: Request, inputs: Properties) -> Made:
        return await self._apply(request, request.token, inputs, {})

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        return await self._apply(request, id, inputs, state)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        target = target_of(inputs, host_keys=state.get("hostKeys", ""))
        look = await self._machines.look(target, f"({_FETCH}) 2>/dev/null || true\n")
        if look.found is not None and look.found.installation.owners.get(CONTROL_PLANE_UNIT) != id:
            return None  # we were let in, and nothing of this resource is there
        if look.found is None:
            request.say(look.words)
        outputs = {**_known(state), **seen(look.found, CONTROL_PLANE_UNIT, state)}
        ca, mark, kubeconfig = look.said.partition(_NEXT)
        if mark and kubeconfig:  # they are made anew by the server when it is time
            outputs |= {"caCert": ca, "kubeconfig": reached_at(kubeconfig, _url(inputs["endpoint"]))}
        return Made(id, outputs)

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        look = await self._machines.look(target_of(inputs))
        if look.found is None:
            raise EngineError(f"{request.name}: whether it was begun cannot be seen: {look.words}")
        if look.found.installation.owners.get(CONTROL_PLANE_UNIT) != request.token:
            return None
        outputs = {**_addresses(inputs), **seen(look.found, CONTROL_PLANE_UNIT, {})}
        raise HalfMade(Made(request.token, outputs), [CUT_SHORT])

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        target = target_of(inputs, host_keys=state.get("hostKeys", ""))
        await self._machines.reset(request, target, name=request.name, unit=CONTROL_PLANE_UNIT, owner=id)

    async def _apply(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made:
        target = target_of(inputs, host_keys=state.get("hostKeys", ""))
        outputs: dict[str, Any] = {**_known(state), **_addresses(inputs), "serviceActive": False}
        async with self._machines.reached(request, target) as session:
            found = await self._machines.facts(session)
            token = str(state.get("joinToken") or await self._token(session, found, id))
            outputs |= {"hostKeys": session.host_keys(), "os": found.os_name, "reachable": True, "joinToken": token}
            config = config_of(inputs, token, id)
            try:
                done = await self._machines.bootstrap(
                    request,
                    session,
                    name=request.name,
                    found=found,
                    planned=plan_control_plane(found, config),
                    playbook="control_plane",
                )
                outputs |= done.outputs
                ca, _, kubeconfig = (await session.run(_FETCH)).partition(_NEXT)
                outputs |= {"caCert": ca, "kubeconfig": reached_at(kubeconfig, _url(inputs["endpoint"]))}
                if done.before:
                    await self._machines.upgraded(session, done.before)
            except WentBack as error:
                outputs |= {"serviceActive": True, "bundle": found.installation.bundles.get(CONTROL_PLANE_UNIT, "")}
                raise HalfMade(Made(id, outputs), [words(error)]) from error
            except (PlaybookFailed, RemoteFailed) as error:
                raise HalfMade(Made(id, outputs), [words(error)]) from error
        await self._answers(request, id, outputs)
        return Made(id, outputs)

    async def _answers(self, request: Request, id: str, outputs: Properties) -> None:
        patience = request.patience(limits.SERVER_READY_SECONDS)
        try:
            async with cluster.opened(str(outputs["kubeconfig"])) as client:
                await cluster.wait_server(client, self._clock, request.say, timeout_seconds=patience)
        except (cluster.NotInTime, ApiError, ConfigError) as error:
            reason = f"iacorchd runs, but {outputs['apiEndpoint']} does not answer here: {words(error)}"
            raise HalfMade(Made(id, outputs), [reason]) from error

    async def _token(self, session: SshSession, found: Facts, id: str) -> str:
        """The token an earlier try left on the machine, else a new one."""
        if found.installation.owners.get(CONTROL_PLANE_UNIT) == id:
            kept = (await session.run("cat /etc/iacorch/join-token 2>/dev/null || true\n")).strip()
            if kept:
                return kept
        return self._ids.token(32).hex()


def reached_at(kubeconfig: str, url: str) -> str:
    """The kubeconfig with `url` as its server. Raises ConfigError on a text that is none."""
    try:
        document = yaml.safe_load(kubeconfig)
        for entry in document["clusters"]:
            entry["cluster"]["server"] = url
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError("what the server wrote is not a kubeconfig", where="admin.kubeconfig") from error
    return yaml.safe_dump(document, sort_keys=False)


def config_of(inputs: Properties, token: str, owner: str) -> ControlPlaneConfig:
    """What the inputs of a ControlPlane ask of its machine."""
    return ControlPlaneConfig(
        advertise=str(inputs["advertise"]),
        join_token=token,
        owner=owner,
        port=int(inputs["port"]),
        tls_sans=_names(inputs),
    )


def _names(inputs: Properties) -> tuple[str, ...]:
    """Names for the certificate: those asked for, and the one people use."""
    return tuple(dict.fromkeys([*(inputs.get("tlsSans") or ()), _host(str(inputs["endpoint"]))]))


def _addresses(inputs: Properties) -> dict[str, str]:
    advertise, endpoint = str(inputs["advertise"]), str(inputs["endpoint"])
    address = UNKNOWN if advertise == UNKNOWN else _host(advertise)
    return {"address": address, "server": _url(advertise), "apiEndpoint": _url(endpoint)}


def _known(state: Properties) -> dict[str, Any]:
    return {p.name: state[p.name] for p in SPEC.outputs if p.name in state}


def _url(address: str) -> str:
    return UNKNOWN if address == UNKNOWN else f"https://{address}"


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65_536
