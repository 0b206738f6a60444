"""Events, commands and replies: written with the change they tell of, published, and handled with one effect.

An outbox and its relays at one end, a consumer and an inbox at the other, and the dead letters that nobody could
handle.
Public: `events.publish`, `events.command`, `events.reply`, `events.Message`,
`inbox.handles`, `inbox.InboxRow`, `contracts.check`.
"""
