"""The node: pods become containers here, and what became of them goes back to the API.

In: pods that were bound to this node, Services, what the kernel and the container runtime say. Out: containers, their
network and volumes; the pods' statuses, the Node object and its lease. `daemons/agent.py` puts it together.

    join                                 the machine gets a client certificate
      -> node, health                    the Node object, its conditions and its lease
      -> pods/                           each pod that is bound here gets a worker
        -> lifecycle/                    which asks for the pod's next step and its status (pure)
        -> containers/, volumes/         puts together what a container is given
        -> runtime/, network/            and has it done
      -> tunnel, logs                    `kubectl logs`, asked by the server

`journal` keeps what was promised across restarts. Read `pods/` next, then `lifecycle/machine.py`.
"""
