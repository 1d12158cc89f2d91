"""A pod's volumes on the node's disk.

`payload` says which files a config map, secret, downward API or projected volume holds (pure), `atomic` writes such a
set of files so that a reader sees the old or the new one, `pod` prepares all volumes of one pod, answers the mounts of
its containers and removes what it made.
"""
