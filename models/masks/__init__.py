"""Mask codes to masks and back, run-length encoding, and the objects of an answer.

It may import the schema and the prompts; it does not know where an answer came from.
"""
