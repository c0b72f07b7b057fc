"""Fine-tunes a checkpoint on somebody's pictures and answers: `python -m training.finetune`.

It may import `models` and `data`; it does not know nano's scenes.
"""
