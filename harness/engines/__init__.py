"""Engines that generate and score, one a file."""
