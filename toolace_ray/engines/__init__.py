"""Engines: what turns chat messages into text and token ids into log-probabilities."""
