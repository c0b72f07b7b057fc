"""Fine-tuning of any checkpoint (`finetune`), and nano from nothing (`nano`).

It stands on `models` and `data`; nothing that the app imports is here.
"""
