"""A run's folder: files, rows, what has a verdict, and settling."""
