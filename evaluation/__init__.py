"""Measures: how right the answers are, how fast they come, and how many people can ask at once.

It may import everything but the app; nothing imports it.
"""
