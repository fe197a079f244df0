"""Pages of the documentation that are made from code, specs and golden values when the site is built."""
