"""Many visitors at once: on the page, and on the service below it.

It knows the page's protocol; it does not know whether an answer is right.
"""
