"""What the product is made of: frozen records, canonical JSON, and the limits under which hostile JSON is read."""
