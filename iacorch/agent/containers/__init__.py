"""What a container of a pod is given before it exists.

In: a pod, the config maps, secrets and images that it names, the node's addresses. Out: a `ContainerSpec` for the
runtime, in which nothing is looked up any more.

    references       config maps and secrets, from the API or as they were read last
    images           is the image here, as the pull policy wants it
    environment      the variables (pure)
    names            /etc/hosts and /etc/resolv.conf (pure)
    specification    all of it, as the runtime takes it (pure)

`pods/assembly.py` calls them for one attempt at a container; drift calls `specification` to compare. Read next:
`runtime/contract.py`.
"""
