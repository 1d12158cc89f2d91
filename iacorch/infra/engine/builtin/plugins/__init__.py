"""Who does the steps: provider plugins, each a process of its own behind Pulumi's ResourceProvider service.

In: a resource's properties, plain dicts. Out: the provider's answers, or an error that says whether
the outcome is known.

    host            finds the plugin of a package, starts it, ends them all
      -> plugin       one of them: its operations
      -> own_provider the engine's own, which needs no process: the outputs of other stacks
    providers       which of them serves a resource; providers are resources too, and their operations are here

Read `plugin`, then `providers`, by which `execution/` asks.
"""
