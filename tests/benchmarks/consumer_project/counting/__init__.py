"""Counts what it is told: one row per message."""
