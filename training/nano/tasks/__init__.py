"""What can be asked about a scene, in which words, and the true answers.

It may import scenes, prompts and tokens; it knows no model.
"""
