"""What a project's own tests use.

Public: `hostile`.
"""
