"""Where machines come from: one protocol, one folder per driver, one conformance suite for all.

Read in this order: `contract` (what a driver is, and the values that go in and out), `errors` (what can go wrong),
`fake` (a cloud in memory, the specification to try against), `retries` (the one place that asks again), `registry`
(a driver by its name). `docker_provider` and `images` serve `stacks/local`, where Docker makes the machines.
"""
