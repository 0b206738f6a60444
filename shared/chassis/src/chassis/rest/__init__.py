"""What an API of several services does alike: errors, parsers, pages, throttles, keys of repetition, OpenAPI.

Built on REST framework; nothing here knows who asks.
Public: `answers`, `doorstep.guarded`, `errors`, `idempotency.Idempotent`,
`idempotency.IdempotencyRow`, `pagination.CursorPagination`, `throttles`.
"""
