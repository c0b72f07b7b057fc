"""Numbers from pairs of a true answer and a given one: texts, boxes and masks.

Pure functions: they know no model, no scene and no prompt.
"""
