"""From a program to machines that are nodes: engines, the provider, bootstrap."""
