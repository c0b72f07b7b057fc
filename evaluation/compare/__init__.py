"""Systems side by side on somebody's data: `python -m evaluation.compare`.

It may import `models`, `data` and the metrics; it does not know nano's scenes.
"""
