"""Pictures of which everything is known, drawn from a seed out of openly licensed art.

It imports nothing of this project; it does not know what is asked about a scene.
"""
