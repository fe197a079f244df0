"""Attention heads: what each of them writes, how well that tells harmful from harmless, and which weights it is."""
