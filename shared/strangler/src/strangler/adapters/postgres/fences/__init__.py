"""Triggers that refuse writes or queue deletions: made, looked at, turned right, and removed."""
