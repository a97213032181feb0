"""The model experts, one a file."""
