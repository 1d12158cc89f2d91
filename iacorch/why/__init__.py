"""Why something does not work: what the API shows of it, put in order, with what to do next.

    gather    asks the API, once                          the only edge
    model     what was observed; a finding; a focus
    nodes     nodes, claims and pools that are not well   pure
    pods      pods that do not run, or are not ready      pure, with `scheduling` and `images`
    workloads Deployments and Services                    pure
    explain   all of them, merged, ordered, narrowed      pure: start here
    page      findings as text and JSON                   pure

Called by `iacorch why`.
"""
