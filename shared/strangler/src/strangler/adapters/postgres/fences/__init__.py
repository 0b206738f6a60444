"""Makes, checks, turns right and removes the triggers that refuse writes or queue deletions."""
