"""Faults that are put into a real run on purpose, one a file, and the suite that proves each of them caught."""
