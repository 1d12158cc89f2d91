"""From a reachable machine to a node of the fleet: facts, then a pure plan, then Ansible with one bundle.

Read in this order: `ssh` (how a machine is reached), `facts` (what it is), `plan` (what is to be done, or why not),
`bundle` (what is carried there), `runner` (doing it), `errors`. Called by the provider's Node and ControlPlane.
"""
