"""The page that the tests of its API call."""

from tests.page_fixtures import page_backend, scene_png, served

__all__ = ["page_backend", "scene_png", "served"]
