"""What is done by hand between the commands of the loop, where what is true is known.

It may import data; it knows no model.
"""
