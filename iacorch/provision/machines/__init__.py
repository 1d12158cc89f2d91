"""The hands: how a claim becomes a machine, is looked at, powered, made anew and removed.

In: an `Order`, everything that is known of a claim. Out: machines, what is so of them, or typed errors. The edge
`claims` starts work through `operations`; the daemon chooses who does it.

    operations    long work: started by one step, seen by a later one; one at a time for each claim
      journal     what was begun and may not be finished, on disk
      contract    the protocol `Machines`, and `Hands` for what is no deployment
        stacks    each machine is a stack of its own, by whichever engine there is
          hands   chooses by class: `containers` (the Docker Engine) or `drivers` (a machine driver)
        drivers   also `Machines` without stacks, for the simulation

`reaper` finds machines that carry our tag and have no owner (`iacorch reap`). Read `contract` first.
"""
