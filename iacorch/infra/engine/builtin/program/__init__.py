"""The program: its process, and what it is served.

In: a project; requests of Pulumi's SDK over gRPC. Out: calls of a `Deployment`, and its answers.

    process       starts the program and waits for it; `main` is what runs in there, with the project's own Python
    monitor       ResourceMonitor and Engine, the services that programs see
      -> transforms the program's own functions, called back, change a registration before anybody looks at it
      -> remote     components and methods that live in a provider

Nothing is imported here: `engine` starts the process before all that `monitor` brings. Read `monitor`; next room:
`execution/`.
"""
