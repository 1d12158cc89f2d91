"""Questions about oneself: who am I, what may I do. Answered, never stored. Pure.

In: the user and a SelfSubjectReview or SelfSubjectAccessReview. Out: the same with its status.
"""

from __future__ import annotations

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.errors import Invalid, MethodNotAllowed
from iacorch.server.identity import authz
from iacorch.server.identity.authz import Attributes
from iacorch.server.request import MASTERS, User


def answer(kind: Kind, user: User, body: Object) -> Object:
    """Raises Invalid for a question without a subject, MethodNotAllowed for reviews that nobody answers."""
    base = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": objects.metadata(body)}
    match kind.kind:
        case "SelfSubjectReview":
            info = {"username": user.name, "groups": sorted(user.groups)}
            return {**base, "status": {"userInfo": info | ({"uid": user.uid} if user.uid else {})}}
        case "SelfSubjectAccessReview":
            verdict = authz.decide(user, _attributes(objects.spec(body)))
            status = {"allowed": verdict.allowed} | ({"reason": verdict.reason} if verdict.reason else {})
            return {**base, "spec": objects.spec(body), "status": status}
        case "SelfSubjectRulesReview":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            everywhere = {"verbs": ["*"], "nonResourceURLs": ["*"]}
            is_master = MASTERS in user.groups
            rules: Object = {
                "resourceRules": [everything] if is_master else [],
                "nonResourceRules": [everywhere] if is_master else [],
                "incomplete": not is_master,
            }
            return {**base, "spec": objects.spec(body), "status": rules}
    raise MethodNotAllowed("the server does not allow this method on the requested resource")


def _attributes(spec: Object) -> Attributes:
    if resource := spec.get("resourceAttributes"):
        return Attributes(
            resource.get("verb", ""),
            resource.get("group", ""),
            resource.get("resource", ""),
            resource.get("subresource", ""),
            resource.get("namespace", ""),
            resource.get("name", ""),
        )
    if path := spec.get("nonResourceAttributes"):
        return Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
    raise Invalid(
        'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: '
        "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    )
