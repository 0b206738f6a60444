"""Everything that is checked and tried before a start promises anything."""
