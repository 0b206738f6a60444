"""How the chassis' own transactions and locks behave, whatever the server, the role or the project has as a default.

Below everything that writes; knows no table of the chassis.
Public: `isolation.read_committed`, `absence.is_outage`, `leases.take`, `leases.turn`, `statements.Statement`.
"""
