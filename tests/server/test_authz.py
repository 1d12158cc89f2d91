"""Who may do what, as a table."""

from __future__ import annotations

import pytest

from iacorch.errors import Forbidden
from iacorch.server.identity.authn import JOINING
from iacorch.server.identity.authz import Attributes, authorise, decide
from iacorch.server.request import AUTHENTICATED, SYSTEM, User, node_user

AGENT = node_user("n1")
SOMEBODY = User("somebody", frozenset({AUTHENTICATED}))
PRETENDER = User("system:node:n1", frozenset({AUTHENTICATED}))


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [
        pytest.param(SYSTEM, Attributes("delete", "", "nodes", name="n1"), True, id="masters-everything"),
        pytest.param(SYSTEM, Attributes("get", path="/metrics"), True, id="masters-metrics"),
        pytest.param(AGENT, Attributes("list", "", "pods"), True, id="agent-lists-pods"),
        pytest.param(AGENT, Attributes("patch", "", "pods", "status", "default", "p"), True, id="agent-status"),
        pytest.param(AGENT, Attributes("patch", "", "pods", "", "default", "p"), False, id="agent-spec"),
        pytest.param(AGENT, Attributes("create", "", "pods", "binding", "default", "p"), False, id="agent-binding"),
        pytest.param(AGENT, Attributes("list", "", "secrets"), False, id="agent-lists-secrets"),
        pytest.param(AGENT, Attributes("get", "", "secrets", "", "default", "s"), True, id="agent-gets-a-secret"),
        pytest.param(AGENT, Attributes("create", "apps", "deployments"), False, id="agent-deployment"),
        pytest.param(AGENT, Attributes("delete", "", "nodes", name="n1"), False, id="agent-deletes-node"),
        pytest.param(AGENT, Attributes("get", path="/metrics"), False, id="agent-metrics"),
        pytest.param(AGENT, Attributes("get", path="/api"), True, id="agent-discovery"),
        pytest.param(PRETENDER, Attributes("list", "", "pods"), False, id="name-without-group"),
        pytest.param(SOMEBODY, Attributes("get", "", "pods"), False, id="somebody-pods"),
        pytest.param(
            SOMEBODY, Attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews"), True, id="somebody-asks"
        ),
        pytest.param(JOINING, Attributes("get", path="/api"), False, id="join-token-discovery"),
    ],
)
def test_who_may_do_what(user: User, asked: Attributes, allowed: bool) -> None:
    assert decide(user, asked).allowed is allowed


def test_a_refusal_is_in_kubernetes_words() -> None:
    with pytest.raises(Forbidden) as caught:
        authorise(SOMEBODY, Attributes("list", "apps", "deployments", "", "prod"))
    assert caught.value.message.startswith(
        'deployments.apps is forbidden: User "somebody" cannot list resource "deployments" in API group "apps" '
        'in the namespace "prod"'
    )
