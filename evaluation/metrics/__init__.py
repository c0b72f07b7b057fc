"""Numbers from pairs of a true answer and a given one, a module each: texts, names in captions,
boxes, masks, which object is matched with which, and estimates with their intervals.

Pure functions: they know no model, no scene and no prompt.
"""
