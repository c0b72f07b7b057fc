"""Whether a heat map shows where the picture supports a word: methods tried, judged on exact masks.

May import `models`, `training.nano.scenes` and the rest of `evaluation`. Does not know the page.
"""
