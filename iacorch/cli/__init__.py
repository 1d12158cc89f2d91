"""The command line: arguments in, text out.

`main` has the table of `commands`; the modules beside it are what commands share: help (`command`, `usage`), which
stack and which API (`target`, `endpoint`), and how outputs and progress look.
"""
