"""The ZIP archive that CVAT imports as "Ultralytics YOLO Detection" or "Segmentation".

CVAT finds a task's frame by its path, so the labels keep the pictures' paths; the pictures are in
the task already and not in the archive. Where any object has a mask, all have outlines.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from data.exports.yolo import data_yaml, label_lines
from data.run_results import RunResults
from models.schema import UserError

SUBSET = "train"


def write(results: RunResults, folder: Path) -> list[str]:
    """`ultralytics-yolo.zip`; UserError where two pictures differ in their endings alone, which
    this format cannot tell apart."""
    ids = {label: number for number, label in enumerate(results.labels)}
    seen: dict[PurePosixPath, str] = {}
    with zipfile.ZipFile(folder / "ultralytics-yolo.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for picture in results:
            if not _is_text(picture.name):
                raise UserError(
                    f"{picture.name!a} is no text in UTF-8, as names in a ZIP archive are.",
                    "Export coco, or give the file another name.",
                )
            path = PurePosixPath(picture.name).with_suffix("")
            if path in seen:
                raise UserError(
                    f"{seen[path]} and {picture.name} have the same labels' file in CVAT's ZIP.",
                    "Export coco, which CVAT imports too.",
                )
            seen[path] = picture.name
            lines = label_lines(picture, ids, results.has_masks)
            archive.writestr(f"labels/{SUBSET}/{path}.txt", "".join(lines))
        names = "".join(f"images/{SUBSET}/{name}\n" for name in seen.values())
        archive.writestr(f"{SUBSET}.txt", names)
        paths = {"path": "./", SUBSET: f"{SUBSET}.txt"}
        archive.writestr("data.yaml", data_yaml(paths, results.labels))
    kind = "Segmentation" if results.has_masks else "Detection"
    return [f'Import it in CVAT as "Ultralytics YOLO {kind} 1.0" into the task of these pictures.']


def _is_text(name: str) -> bool:
    """Whether a name is in UTF-8 on the disk that it comes from."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
