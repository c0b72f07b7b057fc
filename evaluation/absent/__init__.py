"""What questions about absent kinds in training change: drawn shapes, two fine-tunes, one table.

It may import data, training and the rest of evaluation; it knows neither measures nor methods.
"""
