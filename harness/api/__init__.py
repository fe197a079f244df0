"""What a notebook or a script calls; the commands call the same. `import harness` gives these names."""
