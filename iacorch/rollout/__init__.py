"""Another build of iacorch on every machine, one failure domain at a time.

In: the states of the stacks, the Node objects. Out: a `Rollout` (`plan`, pure) and its carrying out (`run`): drain,
upgrade, uncordon; at the first failure it stops, with that machine on its old build again. What an upgrade of one
machine is, and the way back, is the provider's (`infra.provider.resources.machine`): here it is a targeted `up`, so
the program and its state stay the only ones who say what a machine is. The states of node pools' machines are the
provisioner's, which is asked through their claims (`wishes`). `iacorch upgrade` is the composition root.
"""
