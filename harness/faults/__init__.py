"""Faults that are put into a real run on purpose, by stage, and the suite that proves each of them caught."""
