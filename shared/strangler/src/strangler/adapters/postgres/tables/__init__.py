"""What the catalogs say of a capability's tables, and how these are locked or written."""
