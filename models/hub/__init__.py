"""Files from the Hugging Face Hub, and LoRA adapters: fetched, checked, loaded and selected.

It may import the catalog; it knows neither the engine nor who asks.
"""
