"""Rows that pointed at a row which another side has deleted, and what their models say of that.

Runs behind the stream, as ``manage.py sweep_references`` or in the worker.
Public: `sweeping.sweep`, `sweeper.Sweeper`.
"""
