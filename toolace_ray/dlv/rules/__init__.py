"""The rules, one family a file (paper section 2.3, Table 4)."""
