"""How the tool connects: the meaning of an address, the settings of a session, and its role."""
