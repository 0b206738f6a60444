"""Calls of one service to another: time limits, repetition where it does no harm, and a circuit per peer.

Public: `client.Client`.
"""

from chassis.extras import need

need("calls", "httpx", "stamina")
