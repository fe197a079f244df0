"""Model variants, linear layers by name, prompts, and the only place where weights change."""
