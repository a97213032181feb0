"""All that is done with JSON Schema: validating, walking, drawing values, and the gate."""
