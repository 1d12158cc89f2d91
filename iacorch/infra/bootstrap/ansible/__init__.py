"""Ansible, run: the one way in which anything on a machine is changed.

In: plans with their bundles, hosts, a playbook. Out: progress as it happens, counts of changes, a typed failure for
each host. The provider has machines bootstrapped through `together`; drift runs playbooks in check mode through
`runner`.

    together      machines that are bootstrapped at the same time share one run
      runner      one run: inventory, variables, events
        process   ansible-runner, in a process of its own

Read `runner`; what is run stands in `playbooks/`.
"""
