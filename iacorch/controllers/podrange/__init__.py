"""Pod ranges: each node gets its own part of the cluster's pod network."""
