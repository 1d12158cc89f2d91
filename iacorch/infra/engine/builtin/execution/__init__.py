"""One deployment: what is decided is done, and on disk before anybody hears of it.

In: registrations of the program, the old state. Out: the new state, events, counts.

    deployment    a registration: ask the provider, let `decisions.steps` decide, have it done
      -> existing   what is there before the program is: imported, or only read
      -> actions    one step: noted, asked for, recorded
    cleanup       without the program: what a crash left, refresh, deletes
    recorder      the state while all this goes on, and its way to disk
    work          how it is run: so many at a time, timed, told; a failure stops it

`program.monitor` calls `deployment`, `run` calls `cleanup`. Read `deployment`, then `actions`, then `recorder`.
"""
