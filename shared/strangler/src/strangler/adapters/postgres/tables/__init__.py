"""What a capability's tables are and may hold, as the catalogs say, and how they are locked or written."""
