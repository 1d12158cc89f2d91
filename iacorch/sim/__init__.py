"""A whole cluster in one process on virtual time, under seeded faults.

Real: store (memory), server logic, controllers, scheduler, agents. Not real: sockets, disk, containers. A seed decides
what users ask for and what breaks; checkers look at every write; afterwards everything must converge. The same seed
gives the same trace, byte for byte. `python -m iacorch.sim --seed 7` runs one; read on in `world`.
"""
