"""Who somebody is, how that is proved, and what they may do.

In: the subject of a client certificate or the join token; certificate requests. Out: a `User` and a verdict; the
certificates of the cluster, made and withdrawn.

    authn           a connection becomes a user
      -> authz      may this user do what is asked (pure); `reviews` answers users' questions about that
    signing         how a certificate is made (pure but for keys)
      -> pki        the cluster's own: CA, serving, the administrator's
      -> rotation   all of them made anew while the server runs
    certificates    those of nodes: given out, not withdrawn since

`http` asks `authn`, the registry `authz` and `certificates`; `join` (one room up) has nodes' certificates signed.
Read next: `admission/node.py`, which knows what is a node's own.
"""
