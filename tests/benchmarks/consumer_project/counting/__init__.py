"""Counts what it is told: one row a message."""
