"""The few pieces of HTML on the page, made from plain values. Every text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from models.schema import Detection, Need, Timings
from models.serving.metrics import Snapshot
from models.serving.validation import gigabytes

# Distinct on light and dark pictures alike; the legend and the table use the same ones.
COLOURS = (
    "#e4572e",
    "#1b7fc4",
    "#2a9d5c",
    "#b455c8",
    "#d9a514",
    "#00a3a3",
    "#7a5cf0",
    "#d6336c",
    "#7c9a1e",
    "#a0603c",
)
SHORTEST_WAIT_S = 0.5  # that is worth a figure


def colours(count: int) -> list[str]:
    """A colour for each of `count` objects; they repeat after the tenth."""
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def escape(text: str) -> str:
    """Text for gr.HTML, which also reads `${…}` and `{{…}}` as templates."""
    escaped = html.escape(text)
    for sign in "{}$`":
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped


def notice(text: str, kind: str = "info") -> str:
    """A sentence in a box, or nothing. `kind` is info, warning or error."""
    if not text:
        return ""
    return f'<div class="notice notice-{kind}" role="status">{escape(text)}</div>'


def expected(text: str) -> str:
    """What an example's answer should say, or nothing."""
    return f'<p class="expected">Expected: {escape(text)}</p>' if text else ""


def knowledge(parts: Sequence[tuple[str, str]]) -> str:
    """What a model knows as (heading, text) pairs."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in parts)
    return f'<dl class="knowledge">{pairs}</dl>'


def needs(about: str, found: Sequence[Need], names: Mapping[str, str]) -> str:
    """What a checkpoint takes: a line, and memory by precision; `names` are of precisions."""
    rows = "".join(
        f'<tr class="{"fits" if need.fits else "lacks"}"><td>{escape(names[need.precision])}</td>'
        f"<td>{gigabytes(need.bytes)}</td><td>{'yes' if need.fits else 'no'}</td></tr>"
        for need in found
    )
    head = "<tr><th>Precision</th><th>Memory</th><th>Fits here</th></tr>"
    return f'<p class="about">{escape(about)}</p><table class="needs">{head}{rows}</table>'


def engine_figures(snapshots: Sequence[Snapshot]) -> str:
    """What each loaded model does, as a table."""
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in (
            "Model",
            "Precision",
            "Waiting",
            "Rows",
            "First token",
            "Tokens per second",
            "Pictures seen before",
        )
    )
    rows = []
    for each in snapshots:
        first = "–" if each.first_token_s is None else f"{each.first_token_s:.2f} s"
        kept = f"{each.image_hits} of {each.image_asks}"
        values = (each.precision, each.waiting, each.rows, first, f"{each.tokens_per_s:.1f}", kept)
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(f'<tr><th scope="row">{escape(each.name)}</th>{cells}</tr>')
    return (
        '<div class="table-scroll" tabindex="0"><table class="detections">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def status(text: str, share: float | None = None) -> str:
    """One line on what is going on, announced by screen readers, and a bar up to `share` of 1."""
    bar = ""
    if share is not None:
        value = f'max="1" value="{share:.4f}"'
        bar = f'<progress class="share" {value} aria-label="Download"></progress>'
    return f'<p class="status" role="status" aria-live="polite">{escape(text)}</p>{bar}'


def timing_figures(
    timings: Timings | None, tokens: int = 0, first_token_s: float | None = None
) -> str:
    """Time to first token, tokens per second and token count as labelled figures.

    How long others came first is among them where it was long.

    Without `timings` they are those of an unfinished answer.
    """
    if timings is None:
        first = "–" if first_token_s is None else f"{first_token_s:.2f} s"
        rate, count = "–", str(tokens) if tokens else "–"
    else:
        first = f"{timings.first_token_s:.2f} s"
        rate = f"{timings.tokens_per_s:.1f}" if timings.tokens_per_s else "–"
        count = str(timings.tokens)
    figures = [("First token", first), ("Tokens per second", rate), ("Tokens", count)]
    if timings is not None and timings.wait_s >= SHORTEST_WAIT_S:
        figures.insert(0, ("Waited", f"{timings.wait_s:.1f} s"))
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def detection_table(detections: Sequence[Detection], labels: Sequence[str]) -> str:
    """The boxes as a table, in pixels of the picture; a mask column where there is one."""
    masked = any(detection.mask is not None for detection in detections)
    head = ["Object", "Left", "Top", "Right", "Bottom"] + (["Mask area"] if masked else [])
    rows = []
    marks = colours(len(labels))
    for detection, label, colour in zip(detections, labels, marks, strict=True):
        swatch = f'<i class="swatch" style="background:{colour}"></i>'
        cells = [f'<th scope="row">{swatch}{escape(label)}</th>']
        cells += [f"<td>{value:.0f}</td>" for value in detection.box_xyxy_px]
        if masked:
            area = "–" if detection.mask is None else f"{int(detection.mask.sum()):,}"
            cells.append(f"<td>{area}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    header = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        '<div class="table-scroll" tabindex="0"><table class="detections">'
        "<caption>In pixels of the picture</caption>"
        f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
