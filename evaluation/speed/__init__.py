"""Time and memory: against plain `generate`, against the machine's limits, on true shapes.

Ratios are taken in one run; it does not know whether an answer is right.
"""
