"""One module for each command, or for a few that share their arguments; nothing else is here, so there are many.

In: what click read. Out: text and an exit code. `iacorch.cli.main` has the table and imports a command when it is
called. The work is elsewhere: each module's page says where.
"""
