"""The Kubernetes API in front of the store.

In: requests over TLS, or calls of the control plane's own controllers. Out: objects, lists and watches; revisions in
the store. Nothing here reads the wall clock or draws a number: the composition root (`iacorch.daemons.controlplane`)
brings both.

    http/ | local           the request from outside, or in-process as a `Client`
      -> identity/          who asks, and may they
      -> registry           the API without HTTP: a verb on a target by a user, objects in and objects out
        -> admission/       what a write passes that needs more than the object: its namespace, who asks
        -> objects/         bytes to object and back, how objects end, lists and watches over the store

`join` makes a machine a known node, `tunnel` reaches its agent for logs, `bootstrapping` and `pruning` keep house,
`request` has the words that all of them share. Read `request`, then `registry`.
"""
