"""`chassis.process.doorstep`, where projects that have REST framework have imported it from."""

from chassis.process.doorstep import LONGEST_CHARACTERS, TOO_LONG, UNREADABLE, guarded, guarded_asgi

__all__ = ["LONGEST_CHARACTERS", "TOO_LONG", "UNREADABLE", "guarded", "guarded_asgi"]
