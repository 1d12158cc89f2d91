"""Composition roots: the only places that own a real clock, real IDs, sockets and signals."""
