"""Moves rehearsed under a scenario's traffic, and the proof that no write was lost or doubled."""
