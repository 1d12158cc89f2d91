"""Machines that the cluster asks for itself: NodePool -> NodeClaim -> Node.

In: pods that fit nowhere, pools, claims, nodes, what drivers offer. Out: claims, and through `infra` the machines they
stand for. `iacorch provisioner` (`daemons/provisioner.py`) runs it where state and credentials live.

| module          | decides (pure)                                                                          |
|-----------------|-----------------------------------------------------------------------------------------|
| `pool`, `claim` | nothing: what the objects say, parsed                                                   |
| `hours`         | is a pool open, is a budget active                                                      |
| `money`         | what was spent, what is committed, is there room under the limits                       |
| `offers`        | in which order offerings are tried; which are remembered as refused                     |
| `virtual`       | what a node of an offering would look like to the scheduler                             |
| `sizing`        | which claims to make for which pods                                                     |
| `disruption`    | which claims to remove or replace: empty, underused, drifted, expired, over limits      |
| `lifecycle`     | the next step of one claim                                                              |
| `leadership`    | whether this provisioner decides, or another one                                        |
| `repair`        | the next rung for an unhealthy machine                                                  |

Edges: `fleet` (pools and new claims), `claims` (one claim at a time), `operations` (long work with a journal), `stacks`
and `machines` (how a machine is made and asked about).
"""
