"""Items with a picture, a prompt and what is true: their sources, COCO files, and documents.

What training, evaluation and batch share; it stands on `models` and knows none of the three.
"""
