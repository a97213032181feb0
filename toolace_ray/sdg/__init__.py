"""SDG, dialog generation: plans, blueprints and their rollout (paper section 2.2)."""
