"""What people, programs and the API are told of a check.

In: an assessment, what was done, what could not be looked at. Out: `report` (a value: JSON, status, metrics), `page`
(lines that fit a terminal), `diff` (one difference, with secrets hidden; plans show theirs with it too), and
`publish` (a DriftReport with its events, the status of the policies: the one module here that is not pure). The command
line calls all of them after each check. Read `report` first.
"""
