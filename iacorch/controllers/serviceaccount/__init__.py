"""Service accounts: every namespace has one called `default`."""
