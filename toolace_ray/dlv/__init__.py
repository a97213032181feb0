"""DLV, dual-layer verification: rules first, then model experts (paper section 2.3)."""
