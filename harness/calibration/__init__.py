"""Calibration pairs: reading, sampling, tokenising."""
