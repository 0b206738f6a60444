"""Fills the outboxes of the peers, each by its own interface."""
