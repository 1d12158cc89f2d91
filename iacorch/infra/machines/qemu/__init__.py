"""Local virtual machines: QEMU with a cloud image and cloud-init's seed, no daemon in between.

Read in this order: `settings`, `accelerator` (KVM or emulated, and why), `network` (how machines reach each other),
`command` (pure: QEMU's arguments, what cloud-init is told), `place` (a machine's folder: its record, pid, monitor,
console), `driver`.
"""
