"""One small project in every version of Django that the chassis supports, each in an environment of its own."""
