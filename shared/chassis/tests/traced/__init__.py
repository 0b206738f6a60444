"""The library with traces: a reader asks for a book, and the desk, the stacks, the till and the printer lend it."""
