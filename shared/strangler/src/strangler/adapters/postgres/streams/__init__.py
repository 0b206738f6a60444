"""Logical replication between two sides: publications, slots and subscriptions, and whether one has gone on."""
