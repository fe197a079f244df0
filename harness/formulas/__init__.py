"""The paper's equations as pure functions: no I/O, no models."""
