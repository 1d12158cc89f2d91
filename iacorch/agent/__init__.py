"""The node: pods become containers here, and what became of them goes back to the API.

`pods` hears of the pods that were bound to this node and runs one `worker` for each. A worker asks the pure `machine`
for the next step and carries it out on the `runtime`, the `network` and the `volumes`; `status` words the outcome.
`node` keeps the Node object and its lease, `join` gets the client certificate, `tunnel` and `logs` answer the server.
"""
