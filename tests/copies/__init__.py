"""An app of the monolith and its copy in a service: equal, but for seams that are named and recorded."""
