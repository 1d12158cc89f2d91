"""The nouns of the API, pure: plain dicts in, values out. No I/O but reading the package's own data, no clock.

`catalogue` says which kinds there are, `objects` reads and writes the fields that every kind has, `names` and
`networks` are rules that all share. A body on its way to the store passes, in this order:

    wire          its types: JSON or protobuf into an object (and how kinds are told to clients)
    defaults      what a person may leave out
    validate      what the types do not say; `ignored` warns of what is taken and not done
    strategy      how an object of a kind begins and changes; `subresources`: what binding and scale mean
    patch, apply  one object into another: by a patch; by who owns which field
    columns       how objects are shown in tables
    values        what stands in single fields: quantities, selectors, durations

Beside them: `qos`, `templates` and `events`. Read `catalogue` and `objects` first, then `server/objects/pipeline.py`,
which calls them.
"""
