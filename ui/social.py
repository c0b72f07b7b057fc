"""What other sites show of a link to the page: its title, a sentence and a picture."""

from __future__ import annotations

import html
import re
from pathlib import Path

from starlette.types import Scope

from ui.addresses import own_address

TITLE = "PaliGemma 2"
DESCRIPTION = (
    "An open demo of PaliGemma 2: caption a picture, ask about it, read its text, "
    "find and outline objects."
)
PREVIEW = Path(__file__).parents[1] / "docs" / "page.png"
PREVIEW_PATH = "/preview.png"
_TAGS = re.compile(r'<meta\s+(?:property="og:|name="twitter:|name="description")[^>]*>\s*')


def with_own_tags(page: str, scope: Scope) -> str:
    """The page's HTML with Gradio's tags for other sites replaced by its own.

    `scope` is the request's, from which the page's address is taken, as such tags need whole
    addresses; those that need one are left out where the request names none.
    """
    address = own_address(scope)
    properties = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
    }
    names = {
        "description": DESCRIPTION,
        "twitter:card": "summary_large_image",
        "twitter:title": TITLE,
        "twitter:description": DESCRIPTION,
    }
    if address:
        properties |= {"og:url": f"{address}/", "og:image": f"{address}{PREVIEW_PATH}"}
        names["twitter:image"] = f"{address}{PREVIEW_PATH}"
    tags = [_tag("property", *each) for each in properties.items()]
    tags += [_tag("name", *each) for each in names.items()]
    head, start, rest = page.partition("<head>")
    return _TAGS.sub("", head) + start + "".join(tags) + _TAGS.sub("", rest)


def _tag(kind: str, name: str, content: str) -> str:
    return f'<meta {kind}="{name}" content="{html.escape(content)}">'
