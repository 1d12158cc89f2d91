"""A stack on disk, as Pulumi keeps it: both engines find what the other one left.

In: the folder of a project, the address of a backend. Out: `Opened`; files that are replaced whole or not at all.

    files       a file is the old or the new one, whatever happens in between
      -> locks    who writes a stack: one engine, and nobody while children of a killed one live
      -> backend  the state, the one before, the history of updates
      -> project  what to run and with which configuration; `edit` changes a setting in a person's own text
    passphrase  the cipher of the stack's secrets
    opened      all of it, read: where every run begins

Nothing here knows of plugins or programs. Read `backend`, whose table has every file; next: `opened`.
"""
