"""The frame half of an extraction: settings, URLs, programs, packages and manifests around the taken code."""
