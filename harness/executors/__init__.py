"""How the benchmarks of a run are spread over processes."""
