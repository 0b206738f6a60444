"""What a project's own tests use: a side of a move, messages without a broker, deadlines that pass, and strangers.

Knows all of the chassis, and nothing else knows it; the tool (`pip install strangler`) is needed for `sides` alone.
Public: `sides.Side`, `pump.Pump`, `clock.let_deadlines_pass`, `hostile.objections`.
"""
