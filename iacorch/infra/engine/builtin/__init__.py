"""A Pulumi engine in Python: serves the SDK's monitor, drives provider plugins, keeps Pulumi's own state files.

In: a stack reference and options. Out: resources as the program wants them, a state file that the Pulumi CLI continues.

    engine          `BuiltIn`, the protocol of deployments; `admin` is what people do to a stack in between
      -> stack/       the stack on disk: project, configuration, secrets, state file, history, who may write
      -> run          one run, put together: program, monitor, plugins
        -> program/     the program's process, and what it is served over gRPC: registrations come in
        -> execution/   a registration becomes a step; the step is done and on disk before it is answered
          -> decisions/   which step, of what, under which name (pure)
          -> plugins/     who does it: the providers' processes, over gRPC
    values/         what all of them speak of: names, properties, resources and the state they make

`child` is a process that does not outlive the engine: the program and every plugin. The engine does what a Python stack
needs, refuses the rest by name (`docs/engine.md`), and never guesses. Read `values/`, then `decisions/steps`.
"""
