"""A second generator of scenes, for tests alone, that shares no drawing code with nano's own.

Its pictures have other canvases, grounds, fonts and ways of compositing, and the same drawings of
the objects, which it reads itself. It may import the records of a scene and what is asked about
one; it knows none of `training.nano.scenes`' painters, and nothing is ever trained on it.
"""
