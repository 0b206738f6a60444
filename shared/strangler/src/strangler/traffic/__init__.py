"""``strangler traffic``: a scenario for rehearsals, drafted from what is known of a project's requests.

A log, an OpenAPI file or a recording of the project's tests become `known.Request`s; `planning` finds what each of them
needs and leaves, and `writing` makes the file.
"""
