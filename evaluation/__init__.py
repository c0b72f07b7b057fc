"""Measures: how right the answers are (`evaluate`), and how fast they come (`benchmark`)."""
