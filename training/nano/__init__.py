"""Makes nano: its scenes, what is asked about them, the stages of training, and its mask codec.

It may import `models` and `data`; it does not know fine-tuning.
"""
