"""Judges of texts, one a file."""
