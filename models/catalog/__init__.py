"""Which checkpoints and adapters can be chosen (`Catalog`), their shapes, and the memory they take.

It may import `models.schema` alone; it knows neither torch nor the network.
"""
