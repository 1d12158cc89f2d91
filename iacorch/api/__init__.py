"""The nouns of the API, pure: plain dicts in, values out. No I/O but reading the package's own data, no clock.

`catalogue` says which kinds there are; `objects` reads and writes the fields every kind has; `schema`, `validate`,
`defaults` and `strategy` are what a write passes through; `patch` changes objects; `protobuf`, `table`, `discovery` and
`openapi` are what the wire needs.
"""
