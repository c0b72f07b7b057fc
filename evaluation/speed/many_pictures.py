"""Whether `models.batch` loses or doubles a picture when it is killed, and how its memory grows.

    python -m evaluation.speed.many_pictures --out build/many --write docs/batch.md

Draws scenes, copies each under many names with another corner, and runs the command in processes of
its own: once over few of the pictures, and once over all of them, ended by SIGKILL at the shares
KILLED_AT and begun again. Peak memory is VmHWM, the most that a process had resident.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data import documents
from data.runs import RESULTS, read_lines
from evaluation.report import machine
from evaluation.report.tables import table
from training.nano.scenes.scene import HELD_OUT, draw

NAME = "evaluation.speed.many_pictures"
MARK = "many pictures"  # of the table in a document
SEEDS_FROM = HELD_OUT + 20_000
KILLED_AT = (0.1, 0.3)  # shares of the lines; the last process does the rest
_CORNER = 16  # pixels of a side: more than JPEG blurs
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Measured:
    """A run: its lines against its pictures, the peaks of its processes in MB, and seconds."""

    pictures: int
    lines: int
    twice: int
    lost: int
    failed: int
    peaks_mb: tuple[float, ...]
    seconds: float


def draw_pictures(folder: Path, count: int, scenes: int) -> None:
    """`count` JPEG files of `scenes` scenes, no two of them with the same pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [draw(SEEDS_FROM + number).image for number in range(min(scenes, count))]
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if not path.exists():
            image = drawn[number % len(drawn)].copy()
            shade = [(number // len(drawn)) >> shift & 0x3F for shift in (0, 6, 12)]
            image.paste(tuple(4 * each for each in shade), (0, 0, _CORNER, _CORNER))
            image.save(path, quality=90)


def link(folder: Path, pictures: Path, count: int) -> None:
    """A folder with the first `count` of the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(pictures.iterdir())[:count]:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())


def measure(
    images: Path, run: Path, checkpoint: str, prompt: str, killed_at: Sequence[float] = ()
) -> Measured:
    """Run the command over all pictures, killed when these shares have a line.

    RuntimeError where the command ends otherwise than it should.
    """
    names = {path.name for path in images.iterdir()}
    command = [
        *(sys.executable, "-m", "models.batch", "--images", str(images), "--out", str(run)),
        *("--checkpoint", checkpoint, "--prompt", prompt),
    ]
    began, peaks = time.monotonic(), []
    for share in (*killed_at, None):
        enough = len(names) if share is None else round(share * len(names))
        code, peak = _run(command, run / RESULTS, None if share is None else enough)
        peaks.append(peak)
        if code != (0 if share is None else -signal.SIGKILL):
            raise RuntimeError(f"the command ended with {code}")
    seconds = time.monotonic() - began
    lines = list(read_lines(run / RESULTS))
    found = [line["image"] for line in lines]
    return Measured(
        pictures=len(names),
        lines=len(lines),
        twice=len(found) - len(set(found)),
        lost=len(names - set(found)),
        failed=sum("error" in line for line in lines),
        peaks_mb=tuple(peaks),
        seconds=seconds,
    )


def _run(command: list[str], results: Path, enough: int | None) -> tuple[int, float]:
    """The exit code and the peak in MB of a process, killed once there are `enough` lines."""
    process = subprocess.Popen(command)
    peak, lines, place = 0.0, 0, 0
    try:
        while process.poll() is None:
            peak = _peak_mb(process.pid) or peak
            if enough is not None and results.exists():
                with results.open("rb") as file:
                    file.seek(place)
                    new = file.read()
                place, lines = place + len(new), lines + new.count(b"\n")
                if lines >= enough:
                    process.kill()
            time.sleep(_LOOK_EVERY_S)
    finally:
        process.kill()
        process.wait()
    return process.returncode, peak


def _peak_mb(pid: int) -> float:
    """VmHWM of a process in MB, 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def render(few: Measured, many: Measured, checkpoint: str, prompt: str) -> str:
    """Both runs as Markdown."""
    about = machine.about(NAME, sys.argv[1:])
    rows = [
        (
            f"{each.pictures:,}",
            f"{each.lines:,}",
            str(each.twice),
            str(each.lost),
            str(each.failed),
            ", ".join(f"{peak:,.0f}" for peak in each.peaks_mb),
            f"{max(each.peaks_mb) / max(few.peaks_mb):.2f}",
            f"{each.seconds:,.0f}",
        )
        for each in (few, many)
    ]
    head = (
        "pictures", "lines", "twice", "lost", "with an error", "peak of each process, MB",
        "× the first", "seconds",
    )  # fmt: skip
    shares = " and ".join(f"{share:.0%}" for share in KILLED_AT)
    line = (
        f"{checkpoint}, `{prompt}`; the second run was ended by SIGKILL at {shares} and begun "
        f"again; {about['cpu']}, load average {about['load_average']} at the end, "
        f"{about['versions']}; `{about['command']}`:"
    )
    return f"{line}\n\n{table(head, rows, markdown=True)}"


def main(given: Sequence[str] | None = None) -> int:
    """Command line; 2 where a document has no place for the table."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="a folder for pictures and runs")
    add("--pictures", type=int, default=20_000, help="of the run that is killed")
    add("--few", type=int, default=1_000, help="pictures of the run beside it")
    add("--scenes", type=int, default=300, help="that are drawn; the rest are copies of them")
    add("--checkpoint", default="nano-224", help="a name of the catalog")
    add("--prompt", default="caption en")
    add("--write", type=Path, help=f"a document with the marks of a table: {MARK}")
    options = parser.parse_args(given)
    if options.write and not documents.has_marks(options.write, [MARK]):
        print(
            f"{options.write} has no place for the table. Write <!-- {MARK} -->.", file=sys.stderr
        )
        return 2
    out, prompt = options.out, options.prompt
    draw_pictures(out / "pictures", options.pictures, options.scenes)
    link(out / "few", out / "pictures", options.few)
    few = measure(out / "few", out / "run-few", options.checkpoint, prompt)
    many = measure(out / "pictures", out / "run-many", options.checkpoint, prompt, KILLED_AT)
    found = render(few, many, options.checkpoint, prompt)
    print(found)
    if options.write:
        documents.write(options.write, {MARK: found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
