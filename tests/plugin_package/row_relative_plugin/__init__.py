"""Plugins of the brittleness harness, found by their entry points."""
