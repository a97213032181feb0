"""What can be said of a text without knowing the dialog that it stands in."""
