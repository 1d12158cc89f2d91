"""The steps a write passes through that need more than the object itself: its namespace, other objects, who asks.

In: the object as it would be stored, and reads from the store. Out: the object as it will be stored, or Forbidden,
NotFound, Invalid. `namespaces`, `node`, `addresses` and `serviceaccounts` hold one decision each; `steps` runs them in
order, and is what the registry calls.
"""

from iacorch.server.admission.steps import Admission

__all__ = ["Admission"]
