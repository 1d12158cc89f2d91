"""Services on this node: `plan.py` (pure) says where connections go, `nft.py` (pure) says it in nftables' words,
`table.py` makes the kernel agree, `conntrack.py` lets go of flows to endpoints that are gone."""
