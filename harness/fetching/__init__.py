"""Data is downloaded here and nowhere else, and what is made of it is made here."""
