"""Machines that the cluster asks for itself: NodePool -> NodeClaim -> Node.

In: pods that fit nowhere, pools, claims, nodes, what drivers offer. Out: claims, and through `infra` the machines they
stand for. `iacorch provisioner` (`daemons/provisioner.py`) runs `provisioner` where state and credentials live.

    pods, nodes, NodePools, NodeClaims          objects, from informers
      -> pools/                                 what they say, parsed and counted; what can be had at what price
      -> decisions/                             what to ask for, what to give up, the next step of each claim
      -> fleet, claims                          the edges: one look at everything; one claim at a time
      -> machines/                              the hands: long work with a journal, by stacks or by drivers

`leadership` says whether this provisioner decides, or another one. Read `pools/` first, then `decisions/`.
"""
