"""What pools and claims say, as values, and what can be counted from that alone. Pure; it decides about no machine.

In: NodePools, NodeClaims and MachineClasses, as the API has them. Out: frozen values that everyone here decides from.

| module    | says                                                                                        |
|-----------|---------------------------------------------------------------------------------------------|
| `words`   | labels, annotations, condition types and reasons: what other rooms and people read          |
| `amounts` | machines, milli-cores, bytes and money, as integers                                         |
| `hours`   | is a pool open, is a budget active                                                          |
| `money`   | what was spent, what is committed, is there room under the limits                           |
| `offers`  | in which order offerings are tried; which are remembered as refused                         |
| `pool`    | a NodePool with every default filled in                                                     |
| `claim`   | a NodeClaim: where it stands and what it stands for                                         |

Read next: `decisions/`.
"""
