"""Whether a machine is already what its plan says, so that Ansible has nothing to do there. Pure.

In: `Facts`, the plan, the bundle's ID, what else the roles would bring. Out: what is still to be done, in words; empty
means that the playbook would report no change, and it is not run: Ansible takes seconds of processor time to find that
out. It looks at all that the roles `docker` and `daemon` look at; who adds a task there adds it here. Drift asks
Ansible itself (check mode), so that a mistake in here would be found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from iacorch.infra.bootstrap.facts import Facts
from iacorch.infra.bootstrap.files import files_of
from iacorch.infra.bootstrap.plan import Plan

DOCKER_CONFIG: Final = "/etc/docker/daemon.json"


def left_to_do(facts: Facts, plan: Plan, bundle_id: str, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """`extra` are the variables that `offline` gives."""
    return tuple(_left(facts, plan, bundle_id, extra))


def docker_config_text(config: Mapping[str, Any]) -> str:
    """As the role writes it."""
    return json.dumps(config, indent=4, sort_keys=True) + "\n"


def _left(facts: Facts, plan: Plan, bundle_id: str, extra: Mapping[str, Any]) -> Iterator[str]:
    if bundle_id not in facts.complete_bundles:
        yield f"bundle {bundle_id}"
    for path, file in files_of(plan, bundle_id).items():
        if facts.files.get(path) != (f"{file.mode:o}", _sha256(file.content)):
            yield path
    services = [f"{plan.unit}.service"]
    if plan.bundle == "agent":
        services.append("docker.service")
        if packages := plan.variables.get("docker_packages"):
            yield f"packages {' '.join(packages)}"
        config = plan.variables.get("docker_config")
        if config and facts.files.get(DOCKER_CONFIG) != ("644", _sha256(docker_config_text(config))):
            yield DOCKER_CONFIG
        if (images := extra.get("node_images_id")) and images not in facts.images:
            yield f"images {images}"
    for service in services:
        if facts.services.get(service) != "active enabled":
            yield f"{service} is {facts.services.get(service, 'missing')}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
