"""What a project's own tests use: a side of a move, messages without a broker, deadlines that pass, and hostile
requests.

It knows all of the chassis, and nothing else knows it. Only `sides` needs the tool (`pip install ./shared/strangler`,
from the same clone).
Public: `sides.Side`, `sessions.another_session`, `pump.Pump`, `clock.let_deadlines_pass`, `hostile.objections`.
"""
