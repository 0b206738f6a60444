"""What a rehearsal speaks with: HTTP, the traffic's processes, the tool's verbs, rows and the gateway."""
