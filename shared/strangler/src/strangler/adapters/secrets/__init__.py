"""Secrets of a stack in containers: as files in a folder, or as Secrets of a cluster."""
