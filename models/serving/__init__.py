"""Requests in, events out: validation, queues, the pool of loaded models, and ZeroGPU.

It may import the engine and all below it; it does not know pages, terminals or HTTP.
"""
