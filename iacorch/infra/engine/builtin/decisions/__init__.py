"""What is decided about one resource. Pure: the provider was asked before, and what comes out is done elsewhere.

In: what the program registers, the resource as last seen, the provider's answers. Out: one step, as a value.

    scope       is it among the targets of this run
    aliases     under which names it may be in the state
    paths       which of its properties an option means (`ignore_changes`, `replace_on_changes`)
    steps       create, leave, update, replace or refuse; what is deleted, in which order

`execution/` asks and does. Read `steps`, whose table has every outcome.
"""
