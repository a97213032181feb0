"""How hard a dialog is for the target model: measured, guided, calibrated (paper section 2.2.1)."""
