"""How the tool is connected: what an address means, what a session says of itself, and whose role it has."""
