"""How the report draws a benchmark: one file for each layout that a spec can name. Found by harness.plugins."""
