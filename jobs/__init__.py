"""What you submit: evolve, generate, run, and the command line."""
