"""Scenes as a COCO file with boxes and masks, to fine-tune on and to score.

    python -m training.nano.scenes.as_coco --scenes 200 --first 2000000 --style emojione \\
        --out build/coco

Writes `instances.json` and a PNG a scene into the folder. Without `--first`, scenes that nano was
never trained on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.masks import rle
from training.nano.scenes.scene import HELD_OUT, RESOLUTION, Scene, draw
from training.nano.scenes.sprites import HELD_OUT_STYLE, STYLES


def write(scenes: Sequence[Scene], out: Path) -> Path:
    """The file with the annotations of `scenes`; pictures are named by their seed."""
    out.mkdir(parents=True, exist_ok=True)
    names = sorted({thing.name for scene in scenes for thing in scene.objects})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for scene in scenes:
        name = f"{scene.seed}.png"
        scene.image.save(out / name)
        width, height = scene.image.size
        images.append({"id": scene.seed, "file_name": name, "width": width, "height": height})
        for thing in scene.objects:
            x_min, y_min, x_max, y_max = map(float, thing.box_xyxy_px)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": scene.seed,
                    "category_id": names.index(thing.name) + 1,
                    "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                    "segmentation": rle.encode(thing.mask),
                    "area": int(thing.mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    file = out / "instances.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return file


def main(given: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first", type=int, default=HELD_OUT, help="seed of the first scene")
    parser.add_argument("--style", nargs="+", default=[*STYLES], help=f"or {HELD_OUT_STYLE}")
    parser.add_argument("--resolution", type=int, default=RESOLUTION, help="pixels of a side")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(given)
    seeds = range(options.first, options.first + options.scenes)
    scenes = [draw(seed, options.resolution, tuple(options.style)) for seed in seeds]
    print(write(scenes, options.out))


if __name__ == "__main__":
    main()
