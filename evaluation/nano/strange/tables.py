"""The strange world's scores as tables, and in five lines of words."""

from __future__ import annotations

from evaluation.nano.strange.measure import (
    AP50,
    AT_MOST,
    INVENTED,
    IOU,
    NAMED,
    NOT_KNOWN,
    PERFECT,
    READ,
    RIGHT,
)
from evaluation.report.tables import table

TRAITS = ("ground", "canvas", "layout", "colour", "print")
COLUMNS = {
    NAMED: "named",
    INVENTED: "invented",
    PERFECT: "all named, none invented",
    RIGHT: "answers",
    AP50: "AP50",
    IOU: "mask IoU",
    READ: "words",
}


def tables(scores: dict, markdown: bool = False) -> str:
    """About the run, all together, and by ground, canvas, layout, colour and print."""
    return "\n\n".join([about(scores), main_table(scores, markdown), kinds(scores, markdown)])


def marked(scores: dict) -> dict[str, str]:
    """What goes between the marks of documents."""
    name = scores["checkpoint"]
    return {
        f"strange scores {name}": f"{about(scores)}\n\n{main_table(scores, True)}",
        f"strange kinds {name}": kinds(scores, True),
        f"in short {name}": in_words(scores),
    }


def about(scores: dict) -> str:
    """What was measured."""
    return (
        f"{scores['checkpoint']}: {scores['prompts']} prompts on {scores['scenes']} strange scenes "
        f"from seed {scores['first_seed']} on and {scores['other']} pictures of another world, "
        f"{scores['resolution']} px, greedy, {scores['dtype']} on {scores['device']} "
        f"({scores['machine']}); answers cut off: {scores['cut_off']}"
    )


def main_table(scores: dict, markdown: bool = False) -> str:
    """One line a measure of all pictures."""
    lines = [
        (
            row["measure"],
            f"{row['value']:.3f}",
            f"{row['low']:.3f}–{row['high']:.3f}",
            str(row["count"]),
            _verdict(row),
        )
        for row in scores["rows"]
        if row["by"] == "all"
    ]
    return table(("strange scenes", "value", "95 % interval", "n", "needed"), lines, markdown)


def _verdict(row: dict) -> str:
    if row["needed"] is None:
        return ""
    most = row["measure"] in AT_MOST
    reached = row["value"] <= row["needed"] if most else row["value"] >= row["needed"]
    return f"{'≤' if most else '≥'} {row['needed']:.2f} {'reached' if reached else 'MISSED'}"


def kinds(scores: dict, markdown: bool = False) -> str:
    """One line a kind of picture, and which pictures of another world are known to be such."""
    cells = {(row["by"], row["kind"], row["measure"]): row for row in scores["rows"]}
    lines = []
    for trait in TRAITS:
        for kind in _kinds(scores, trait):
            found = [cells.get((trait, kind, measure)) for measure in COLUMNS]
            pictures = cells[trait, kind, PERFECT]["count"]
            values = (f"{row['value']:.2f}" if row else "" for row in found)
            lines.append((f"{trait}: {kind}", str(pictures), *values))
    split = table(("by kind", "pictures", *COLUMNS.values()), lines, markdown)
    other = [
        (kind, str(row["count"]), f"{row['value']:.2f}")
        for kind in _kinds(scores, "other")
        for row in [cells["other", kind, NOT_KNOWN]]
    ]
    if not other:
        return split
    head = ("another world", "captions", "says that it does not know")
    return f"{split}\n\n{table(head, other, markdown)}"


def _kinds(scores: dict, by: str) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in scores["rows"] if row["by"] == by))


def in_words(scores: dict) -> str:
    """What a stranger should know first, in five lines."""
    all_of = {row["measure"]: row["value"] for row in scores["rows"] if row["by"] == "all"}
    cells = {(row["by"], row["kind"], row["measure"]): row["value"] for row in scores["rows"]}
    ranked = sorted(
        (cells[by, kind, PERFECT], cells[by, kind, NAMED], f"{by} “{kind}”")
        for by, kind, measure in cells
        if by in ("ground", "canvas", "colour") and measure == PERFECT
    )
    low, high = ranked[:3], ranked[:-4:-1]

    def listed(found: list[tuple[float, float, str]]) -> str:
        return ", ".join(f"{what} ({right:.2f}, {named:.2f} named)" for right, named, what in found)

    lines = (
        f"On pictures that another program drew with the same drawings ({scores['scenes']} strange "
        f"scenes) it names {all_of[NAMED]:.2f} of the objects and invents {all_of[INVENTED]:.2f} a "
        f"picture; {all_of[PERFECT]:.2f} of its captions are right in both.",
        f"It is best, by the share of such captions, on {listed(high)}.",
        f"It is worst on {listed(low)}.",
        f"Of questions it answers {all_of[RIGHT]:.2f} right; boxes have an AP50 of "
        f"{all_of[AP50]:.2f}, masks a mean IoU of {all_of[IOU]:.2f}; of words in letters of 20 "
        f"pixels and more it reads {all_of[READ]:.2f}.",
        f"Of {scores['other']} pictures with nothing that it knows (photographs, noise, documents, "
        f"charts) it says so of {all_of[NOT_KNOWN]:.2f}; the rest get an answer that sounds sure.",
    )
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
