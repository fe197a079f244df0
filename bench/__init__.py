"""Speed of attribution against plain implementations of the published algorithms. Not part of the package."""
