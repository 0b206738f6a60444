"""What all services do alike in their APIs: errors, parsers, pages, throttles, idempotency keys, OpenAPI.

Built on REST framework; nothing here knows who asks.
Public: `answers`, `doorstep.guarded`, `errors`, `idempotency.Idempotent`,
`idempotency.IdempotencyRow`, `pagination.CursorPagination`, `throttles`.
"""

from chassis.extras import need

need("rest", "rest_framework")
