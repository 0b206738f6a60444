"""Looks from inside a project, before a move, for what will write a moved table from the wrong place or not happen.

It reads the running project and its source, and neither its databases nor another process. ``manage.py
strangler_check`` shows what it finds.
Public: `look.look`, `configuration.load`, `findings.Report`.
"""
