"""The source half of an extraction: what is taken of a project's code, how it is rewritten, and what is listed."""
