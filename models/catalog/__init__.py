"""Which checkpoints and adapters can be chosen here, their shapes, and the memory that they take.

It may import `models.schema` alone; it knows neither torch nor the network.
"""
