"""How right nano is on scenes that it was never trained on, its own and strange ones.

It may import nano's scenes and tasks; it does not know how an answer is computed.
"""
