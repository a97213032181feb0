"""TSS, tool self-evolution synthesis: from documents to the API pool (paper section 2.1)."""
