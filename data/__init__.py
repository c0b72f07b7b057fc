"""Items with a picture, a prompt and what is true, and their sources; runs over many pictures.

What training, evaluation and batch share; it stands on `models` and knows none of the three.
"""
