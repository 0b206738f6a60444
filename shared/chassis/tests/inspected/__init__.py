"""A project for `manage.py strangler_check`: it has each finding once, and beside each what must not be found.

A comment ``# -> ID`` stands at the place of each finding; all other lines are near-misses.
"""
