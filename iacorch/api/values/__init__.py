"""What stands in single fields as text or a small object, and what it means. Knows no kinds, but for where one says so.

In: values of fields. Out: numbers, durations, answers to "does it match". Everything above calls them: checks, columns,
the scheduler's filters, the agent.

    quantity      500m, 1Gi: exact numbers and their canonical text
    durations     90s, 1h30m
    intstr        a count or a percentage (maxSurge, a port by number or name)
    tolerations   whether a pod stands a taint
    selectors     labels and fields that are looked for, and the fields that each kind can be looked for by
"""
