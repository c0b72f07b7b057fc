"""The served page, for code in the documents that asks it."""

from tests.page_fixtures import page_backend, scene_png, served

__all__ = ["page_backend", "scene_png", "served"]
