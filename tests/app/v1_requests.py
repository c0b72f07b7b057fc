"""What the tests of `/v1` send."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from training.nano.scenes.scene import HELD_OUT, draw


def png(seed: int = 3) -> bytes:
    """A scene that nano was never trained on."""
    file = io.BytesIO()
    draw(HELD_OUT + seed).image.save(file, "PNG")
    return file.getvalue()


def data_url(content: bytes | None = None) -> str:
    """The address that holds a picture."""
    return f"data:image/png;base64,{base64.b64encode(content or png()).decode()}"


def image(content: bytes | None = None) -> Image.Image:
    """The picture in the bytes."""
    return Image.open(io.BytesIO(content or png())).convert("RGB")


def chat(prompt: str = "caption en", *addresses: str, **fields: Any) -> dict[str, Any]:
    """A chat completion about the pictures at addresses, by default about one scene."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    for each in addresses or (data_url(),):
        parts.append({"type": "image_url", "image_url": {"url": each}})
    return {"model": "nano-224", "messages": [{"role": "user", "content": parts}]} | fields
