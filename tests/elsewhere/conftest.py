"""The library's own tests are run by the library."""

collect_ignore = ["library"]
