"""Changes that take several services, and are undone when one of them refuses: steps, deadlines and compensation.

Stands on messages alone.
Public: `saga.Saga`, `steps.Step`.
"""
