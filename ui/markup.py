"""The few pieces of HTML on the page, made from plain values. Every text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from models.schema import Detection, Need, Request, Timings
from models.serving.metrics import Snapshot
from models.serving.validation import gigabytes

SHORTEST_WAIT_S = 0.5  # that is worth a figure


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
    return f'<div class="notice notice-{kind}">{escape(text)}</div>'


def settings(checkpoint: str, state: str, words: str, changed: Sequence[str]) -> str:
    """What will answer: a checkpoint, how ready it is, and what differs from the defaults.

    `state` is one of `models.schema.READINESS`, `words` say it."""
    others = "".join(f'<span class="changed">{escape(each)}</span>' for each in changed)
    ready = f'<span class="state state-{state}">{escape(words)}</span>'
    return f'<p class="settings"><span>{escape(checkpoint)}</span>{ready}{others}</p>'


def count(number: int) -> str:
    """A number of parameters as people say it, such as "3.0 B" or "13 M"."""
    return f"{number / 1e9:.1f} B" if number >= 10**9 else f"{number / 1e6:.0f} M"


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
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Precision", "Memory", "Fits here"))
    table = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return f'<p class="about">{escape(about)}</p><table class="needs">{table}</table>'


def engine_figures(snapshots: Sequence[Snapshot]) -> str:
    """What each loaded model does, as a table."""
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in (
            "Model",
            "Precision",
            "Queued",
            "Running",
            "First token",
            "Tokens per second",
            "Pictures from cache",
        )
    )
    rows = []
    for each in snapshots:
        first = "–" if each.first_token_s is None else f"{each.first_token_s:.2f} s"
        kept = f"{each.image_cache_hits} of {each.image_cache_lookups}"
        rate = f"{each.tokens_per_s:.1f}"
        values = (each.precision, each.queued, each.running, first, rate, kept)
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(f'<tr><th scope="row">{escape(each.name)}</th>{cells}</tr>')
    return (
        '<div class="table-scroll" role="region" aria-label="Models" tabindex="0">'
        '<table class="detections">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def status(text: str, share: float | None = None) -> str:
    """One line on what is going on, and a bar up to `share` of 1. `result.js` announces it."""
    bar = ""
    if share is not None:
        value = f'max="1" value="{share:.4f}"'
        bar = f'<progress class="share" {value} aria-label="Download"></progress>'
    return f'<p class="status">{escape(text)}</p>{bar}'


def timing_figures(
    timings: Timings | None,
    tokens: int = 0,
    first_token_s: float | None = None,
    request: Request | None = None,
) -> str:
    """What was asked, time to first token, tokens per second and token count, each with its name.

    How long others came first is among them where it was long. Without `timings` they are those of
    an unfinished answer, without `request` of none.
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
    return f'{_asked(request)}<dl class="figures">{cells}</dl>'


def _asked(request: Request | None) -> str:
    """The prompt that was sent, and what answered it; their places where nothing was asked yet."""
    prompt = model = "–"
    if request:
        prompt = f"<code>{escape(sent(request.prompt, len(request.images)))}</code>"
        with_adapter = f" with adapter {request.adapter}" if request.adapter else ""
        model = escape(f"{request.checkpoint}{with_adapter}")
    return (
        f'<dl class="asked"><div><dt>Prompt sent to the model</dt><dd>{prompt}</dd></div>'
        f"<div><dt>Model</dt><dd>{model}</dd></div></dl>"
    )


def sent(prompt: str, pictures: int) -> str:
    """A prompt as the model gets it: with the places of its pictures, where they are several."""
    return "<image>" * pictures + prompt if pictures > 1 else prompt


# Where boxes are asked for, `result.js` shows the picture here until it comes with its boxes.
ROOM = '<figure class="found"><div class="stage"><img class="base-image" alt=""></div></figure>'


def detection_table(
    detections: Sequence[Detection], labels: Sequence[str], colours: Sequence[str]
) -> str:
    """The boxes as a table, in pixels of the picture; columns for confidence and masks where there
    are any.

    `data-object` ties a row to its box on the picture.
    """
    masked = any(detection.mask is not None for detection in detections)
    scored = any(detection.confidence is not None for detection in detections)
    head = ["Object", *(["Confidence"] if scored else []), "Left", "Top", "Right", "Bottom"]
    head += ["Mask area"] if masked else []
    rows = []
    for index, (detection, label, colour) in enumerate(
        zip(detections, labels, colours, strict=True)
    ):
        swatch = f'<i class="swatch" style="background:{colour}"></i>'
        cells = [f'<th scope="row">{swatch}{escape(label)}</th>']
        if scored:
            sure = detection.confidence
            cells.append(f"<td>{'–' if sure is None else f'{sure:.0%}'}</td>")
        cells += [f"<td>{value:.0f}</td>" for value in detection.box_xyxy_px]
        if masked:
            area = "–" if detection.mask is None else f"{int(detection.mask.sum()):,}"
            cells.append(f"<td>{area}</td>")
        rows.append(f'<tr data-object="{index}">{"".join(cells)}</tr>')
    header = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        '<div class="table-scroll" role="region" aria-label="Objects found" tabindex="0">'
        '<table class="detections"><caption>Objects found, in pixels of the picture</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
