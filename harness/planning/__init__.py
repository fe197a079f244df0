"""What a benchmark will take, said before anything is loaded: cells, data, memory, tokens, hours."""
