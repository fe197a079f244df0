"""Where text of a stranger is worked on that can do something: templates, and the patterns in them."""
