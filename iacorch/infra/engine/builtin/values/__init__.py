"""What everything in the engine speaks of. Nothing here knows of a deployment; only `assets` reads files.

In: bytes and messages of Pulumi's protocol and state files. Out: plain values, and the same bytes again.

    urn         the name of a resource
    wire        its properties: dicts with Pulumi's marks for secrets, unknowns and output values
      -> assets   files and archives among them, hashed; an archive as a stream, by `tarball`
      -> state    the resource, and all of them as the checkpoint that both engines read

`rollout` and `drift` read stacks by these too. Read `wire`, then `state`; next room: `decisions/`.
"""
