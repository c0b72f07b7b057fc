"""The page: what a person sees and does. With `app.py` the only place that imports Gradio."""
