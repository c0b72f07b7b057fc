"""The mathematics of the model: attention, the vision tower, the decoder, and faster linear layers.

It may import the catalog's constants; it knows neither requests nor where weights come from.
"""
