"""The Kubernetes API in front of the store.

`registry` is the API without HTTP: a verb on a target by a user, in and out as objects. `local` gives it to controllers
and tests as a `Client`; `http` gives it to the world over TLS. `authn` says who asks, `authz` whether they may;
`admission` holds the steps a write passes through; `pki`, `join` and `tunnel` are what nodes need. Nothing here reads
the wall clock or draws a number: the composition root (`iacorch.daemons.controlplane`) brings both.
"""
