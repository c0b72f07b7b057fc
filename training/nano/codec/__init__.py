"""nano's mask codec: its training, and the codes of a scene's objects.

It may import scenes and `models.masks`; it does not know the language model.
"""
