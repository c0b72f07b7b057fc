"""The tab "Batch": prompts about many pictures, gone through, put right and exported.

It is a page of its own (`page/`), loaded when the tab is first opened, over routes beside Gradio's
(`routes.py`). A run is a folder of the server (`runs.py`), which a browser finds by an id that
nobody can guess. It stands on `data` and `models.batch`, and knows neither training nor evaluation.
"""
