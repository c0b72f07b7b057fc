"""Tables and plots of what was measured, and the machine it was measured on.

It knows only rows of numbers.
"""
