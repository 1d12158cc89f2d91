"""One module for each command, and beside some of them the decisions that are theirs alone (`project`, `image_load`).

`iacorch.cli.main` has the table and imports a command when it is called.
"""
