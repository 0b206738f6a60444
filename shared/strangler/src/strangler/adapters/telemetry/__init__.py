"""Traces by OpenTelemetry: what the standard environment asks for, and the spans of the tool itself."""
