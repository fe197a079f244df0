"""Reproducibility benchmark harness for the brittleness of safety alignment (Wei et al., ICML 2024)."""

__version__ = "1.0.0"
