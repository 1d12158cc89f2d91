"""Server-side apply: who owns which field, what an apply makes of an object, and which owners are in its way.

In: the stored object, an applied configuration or a written object, who writes. Out: the merged object and the owners
of its fields; or a Conflict that names owners and paths as Kubernetes does. Pure. The server calls `apply` (or `begin`)
for `application/apply-patch+yaml`, and `written` after every other write to an object whose fields have owners.

| module     | what it knows                                                                 |
|------------|-------------------------------------------------------------------------------|
| `fields`   | sets of fields as paths: of an object, of a difference, as FieldsV1, in words |
| `merge`    | an applied configuration laid over an object; fields taken out again          |
| `owners`   | managedFields entries                                                         |
| `applying` | the three put together                                                        |

Fields have owners from an object's first apply on: until then nobody asks, and every write would pay for the answer.
What the object holds at that moment belongs to `before-first-apply`, as Kubernetes does it with older objects.

Source: the Kubernetes documentation of server-side apply, KEP-555.
"""

from __future__ import annotations

from iacorch.api.apply.applying import Applied, apply, begin, written

__all__ = ["Applied", "apply", "begin", "written"]
