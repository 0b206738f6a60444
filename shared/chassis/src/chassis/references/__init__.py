"""Cleans up rows that pointed at a row which another side has deleted, as their models say.

Runs behind the stream, as ``manage.py sweep_references`` or in the worker.
Public: `sweeping.sweep`, `sweeper.Sweeper`.
"""
