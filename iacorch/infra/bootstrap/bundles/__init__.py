"""What is carried to a machine: a daemon with all it needs as one archive; for a site without a network, all archives.

In: our own package, the locked requirements, a machine's Python and architecture. Out: a `Bundle`, from the cache where
nothing changed. The provider has one built after the plan and before Ansible; `iacorch bundle` writes the file for an
air-gapped site.

`bundle` is one daemon's archive (with `compiled`, what Python makes of the sources), `offline` the file that holds
those with packages and images. Read `bundle`, whose page has the layout on the machine, then `ansible/`.
"""
