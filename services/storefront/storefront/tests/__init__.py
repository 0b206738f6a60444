"""Tests of the storefront, on a server that answers as the interface does."""
