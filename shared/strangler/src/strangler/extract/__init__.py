"""``strangler extract``: a service, written from the code of a capability in somebody's Django project.

The source half (what is taken, rewritten, cut and listed) and the frame half (settings, URLs, programs, images) each
make a `Draft`; both are written together, whole or not at all.
"""
