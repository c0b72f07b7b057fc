"""The head of the page: its name, a sentence, and folded what this is, with links."""

from __future__ import annotations

from gradio.utils import get_space

from ui.markup import escape

_ABOUT = (
    "PaliGemma 2 is a family of open vision-language models by Google: a SigLIP vision tower looks "
    "at a picture, and a Gemma 2 language model writes about it. The short prompt decides on the "
    "task: captions, answers, printed text, boxes as <loc> tokens, masks as <seg> tokens.",
    "Every size, resolution and variant can be chosen here. nano, which answers first, is a small "
    "model of the same kind that was trained for this demo: it knows only drawn scenes. Google’s "
    "own checkpoints read photographs; they are large, and their licence has to be accepted.",
    "Answers can be wrong, also where they sound sure. Pictures are deleted after an hour, "
    "those of a batch after a day, and the history of answers stays in this browser.",
)
_LINKS = (
    ("Model card", "https://ai.google.dev/gemma/docs/paligemma/model-card-2"),
    ("Licence", "https://ai.google.dev/gemma/terms"),
    ("Report", "https://arxiv.org/abs/2412.03555"),
    (
        "Reference code",
        "https://github.com/google-research/big_vision/tree/main/big_vision/configs/proj/paligemma",
    ),
)


def header() -> str:
    """HTML; on a Space its files are among the links."""
    space = get_space()
    links = list(_LINKS)
    if space:
        links.append(("This demo’s code", f"https://huggingface.co/spaces/{space}/tree/main"))
    paragraphs = "".join(f"<p>{escape(each)}</p>" for each in _ABOUT)
    items = "".join(
        f'<li><a href="{escape(address)}" target="_blank" rel="noopener">{escape(name)}</a></li>'
        for name, address in links
    )
    return (
        '<header class="masthead"><h1>PaliGemma 2</h1>'
        "<p>Give it a picture, choose a task, and read the answer as it is written.</p>"
        f"<details><summary>What is this?</summary>{paragraphs}<ul>{items}</ul></details></header>"
    )
