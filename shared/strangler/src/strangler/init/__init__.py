"""Writes a project's first `strangler.toml`, from what the project or its database says of itself.

`described` is what is known of the project, wherever it comes from (`asking`, `catalog`); `dividing` and `claiming` say
what could move as one with which routes, `drafting` puts that together, `writing` makes the file of it, and `drifting`
compares an existing file with the project.
"""
