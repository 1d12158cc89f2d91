"""Objects between the wire and the store. What is asked for has been allowed by now.

In: bodies and options of a request, bytes and revisions of the store. Out: objects with their versions, pages of a
list, events of a watch. The registry calls all of them, a verb at a time.

    pipeline      the steps of `iacorch.api` that a body passes through, in their order
    lifecycle     how an object ends: at once, after a grace period, when its finalizers are done (pure)
    storage       keys, encoding, resource versions
      sealing     Secrets encrypted at rest
    listing       pages of one revision
    watching      the store's batches as typed events of one watcher

Read `storage`, then `store/contract.py`.
"""
