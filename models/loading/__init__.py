"""From a checkpoint's folder to a model on a device: devices, precisions, and the loader.

It may import the catalog, masks, hub and layers; it does not know what a model is asked.
"""
