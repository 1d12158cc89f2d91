"""What every room needs and no room owns: clock, IDs, task groups, the work queue, limits. Knows no domain."""
