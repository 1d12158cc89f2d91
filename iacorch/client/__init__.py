"""What everyone else uses to talk to the API.

`contract` is the protocol, `http` speaks it to a server over TLS, `informer` keeps a local copy of what a watch tells,
`tunnel` is the framing of the stream that an agent opens for logs. `server.local` implements the contract in-process.
"""
