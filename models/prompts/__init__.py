"""The prompt grammar of PaliGemma, and the `<loc>` and `<seg>` tokens of its answers.

It may import `models.schema` alone; it knows neither torch nor a tokenizer.
"""
