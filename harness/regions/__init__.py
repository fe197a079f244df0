"""Kinds of regions: one module each, found by what a spec writes under `select`."""
