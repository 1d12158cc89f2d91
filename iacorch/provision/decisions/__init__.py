"""What is to happen to machines, and why. Pure: values in, values out, no clock, no client.

In: the values of `pools/`, nodes and pods. Out: a `Plan` for the whole fleet (taken by the edge `fleet`) and a `Step`
for each claim (taken by the edge `claims`).

| module       | decides                                                                                 |
|--------------|-----------------------------------------------------------------------------------------|
| `movable`    | which pods count: those that wait, those that would have to move, the daemons           |
| `virtual`    | what the cluster will be, with nodes of offerings as the scheduler would see them       |
| `sizing`     | which claims to make for which pods                                                     |
| `guard`      | what forbids to disturb pods                                                            |
| `disruption` | which claims to remove or replace: empty, underused, drifted, expired, over limits      |
| `plan`       | who goes when: all of the above, as one look at the fleet                               |
| `repair`     | the next rung for an unhealthy machine                                                  |
| `lifecycle`  | the next step of one claim, from a wish to a node to nothing                            |

Read `plan` and `sizing` for the fleet, `lifecycle` for one claim; what is decided is done by `machines/`.
"""
