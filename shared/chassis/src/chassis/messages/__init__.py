"""Events, commands and replies: written with the change they tell of, published, and handled with one effect.

An outbox and its relays on one side, a consumer and an inbox on the other, and what became of what nobody could handle.
Public: `events.publish`, `events.command`, `events.reply`, `events.Message`,
`inbox.handles`, `inbox.InboxRow`, `contracts.check`.
"""
