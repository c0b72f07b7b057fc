"""Sequences side by side on one loaded model: prefill, decode, sampling, beams, cached features.

It may import all below it; it knows no threads, no queues, and not the meaning of a text.
"""
