"""A rehearsal's ways to the outside: HTTP, the traffic's processes, the tool's verbs, rows and the gateway."""
