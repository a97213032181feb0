"""The stages of the verifying stream, one a file: drafts, rules or gate, experts, sink."""
