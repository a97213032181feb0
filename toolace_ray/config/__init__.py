"""The configuration: one strict tree, its loading, and the reference page that it writes of itself."""
