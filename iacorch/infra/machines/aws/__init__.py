"""Machines on EC2, through boto3.

Read in this order: `settings` (what a person says of the account and region), `shapes` (pure: specifications into EC2's
requests, EC2's answers into machines), `api` (the one door to boto3: threads, retries, errors), `images`, `prices`,
`surroundings` (key pairs and security groups, one set a cluster), `driver`.
"""
