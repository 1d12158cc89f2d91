"""From a reachable machine to a node of the fleet: facts, then a pure plan, then Ansible with one bundle.

In: an address with SSH, and what the machine is to become. Out: a running daemon, or a typed error (`errors`) that says
on which host, why and what to do. The provider's Node and ControlPlane walk this way; drift asks the same `plan` what a
node should look like.

    ssh               how a machine is reached; `private` keeps its keys
      -> facts        what it is, in one round trip
      -> plan         what is to be done, or why nothing will be (pure); `files` are the small ones it needs
      -> settled      is it so already (pure); `marks` say it in one word
      -> bundles/     what is carried there, from `sources`
      -> ansible/     doing it, for one machine or many
      -> builds       back to the build before

Read `plan` first, then `ansible/`.
"""
