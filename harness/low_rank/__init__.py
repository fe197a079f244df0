"""Subspaces of layer outputs: Gram matrices of the inputs, and low-rank regions from them."""
