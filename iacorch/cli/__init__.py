"""The command line: arguments in, text out.

`main` has the table of `commands`, a module each; the modules beside it are what commands share: help (`command`,
`usage`), which stack and which API (`target`, `endpoint`), how outputs and progress look; and the work of two of them
that is no arguments and no text: what a new project holds (`project`), images onto nodes (`image_load`).
"""
