"""The stages of nano's training: batches, rows of text, dense targets, and their losses.

It may import scenes, tasks and the codec; it does not know where a run is kept.
"""
