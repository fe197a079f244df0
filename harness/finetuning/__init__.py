"""Fine-tuning in place: of all parameters or by low-rank adapters, with regions frozen by weight."""
