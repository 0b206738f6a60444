"""A library whose books are about to move out, and whose visits stay."""
