"""Importance scores, one method a file."""
