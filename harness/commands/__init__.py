"""Groups of commands that cli.py gathers. No logic."""
