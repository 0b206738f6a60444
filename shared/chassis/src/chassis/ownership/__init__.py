"""Which side owns a capability, and what becomes of a request, a statement or a session while that changes.

The fence in the database decides; this package lets Django hear of it.
Public: `fence.FenceMiddleware`, `owners.is_open`, `owners.sides`, `seam.await_row`, `admin.OwnedAdmin`.
"""
