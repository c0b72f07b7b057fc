"""The samples of the "Use via API" view: programs that run as they are printed.

Gradio's own give the picture as an address of another site, which is refused here, and read the
answer in a way that not every shell has. These fetch a picture from this server first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ui.components import EXAMPLE

Asked = Mapping[str, str | float]


@dataclass(frozen=True)
class Sample:
    """What the samples of an endpoint ask about a picture of `examples/`, and show of the result.

    `asked` has arguments by name, the picture not among them."""

    picture: str
    asked: Asked = field(default_factory=dict)
    shown: str = "text"

    @property
    def file(self) -> Path:
        """The picture."""
        return EXAMPLE.parent / self.picture

    @property
    def path(self) -> str:
        """Where this server has it."""
        return f"/example-{self.picture}"


OF_ENDPOINTS = {
    "answer": Sample("caption.png", {"task": "caption"}),
    "caption": Sample("caption.png"),
    "ask": Sample("count.png", {"question": "how many telescopes are there?"}),
    "read": Sample("read.png"),
    "detect": Sample("detect.png", {"objects": "taco, cookie"}, "detections"),
    "segment": Sample("segment.png", {"objects": "lady beetle"}, "detections"),
}
PICTURES = {each.path: each.file for each in OF_ENDPOINTS.values()}


def with_own_samples(info: str, address: str, space: str | None) -> str:
    """Gradio's description of the API, JSON, with the samples of all endpoints replaced.

    `address` is the page's without a slash at its end; on a Space, `space` is its owner/name.
    """
    described: dict[str, Any] = json.loads(info)
    for name, endpoint in described["named_endpoints"].items():
        endpoint["code_snippets"] = samples(address, space, endpoint=name.strip("/"))
    return json.dumps(described, ensure_ascii=False)


def samples(
    address: str,
    space: str | None = None,
    asked: Asked | None = None,
    endpoint: str = "answer",
    further: int = 0,
) -> Mapping[str, str]:
    """Programs that ask what `asked` says, by the names of the view's languages.

    `asked` has arguments of the endpoint by name, the pictures not among them, and is its sample's
    where it is None. One picture is fetched from this server, and stands in the places of `further`
    ones too, which /answer alone takes. In "cli", the page puts the name of
    Gradio's command for `{command}`.
    """
    sample = OF_ENDPOINTS[endpoint]
    asked = sample.asked if asked is None else asked
    picture, source = f"{address}{sample.path}", space or address
    file, shown = sample.picture, sample.shown
    first = "*_, result" if endpoint == "answer" else "result"  # before it, the page's outputs
    uploaded = {"path": file, "meta": {"_type": "gradio.FileData"}}
    more = {"more_images": [uploaded] * further} if further else {}
    payload = _quoted(_json({"image": uploaded, **more, **asked}))
    # The shell puts the uploaded file's place between two quoted parts.
    rest = _quoted("".join(f", {_json(name)}: {_json(value)}" for name, value in asked.items()))
    sent = ", ".join(['{"path": "\'"$FILE"\'"}'] * further)
    rest = (f', "more_images": [{sent}]' if further else "") + rest
    in_python = "".join(f"    {name}={_json(value)},\n" for name, value in asked.items())
    in_javascript = "".join(f"    {name}: {_json(value)},\n" for name, value in asked.items())
    if further:
        handled = ", ".join(["handle_file(picture)"] * further)
        in_python = f"    more_images=[{handled}],  # or other files\n{in_python}"
        in_javascript = f"    more_images: [{handled}], // or other files\n{in_javascript}"
    return {
        "python": f"""\
from urllib.request import urlretrieve

from gradio_client import Client, handle_file

picture, _ = urlretrieve("{picture}")  # or the path of a file
client = Client("{source}")
{first} = client.predict(
    image=handle_file(picture),
{in_python}    api_name="/{endpoint}",
)
print(result["{shown}"])""",
        "javascript": f"""\
import {{ Client, handle_file }} from "@gradio/client";

const picture = await (await fetch("{picture}")).blob(); // or any other file
const client = await Client.connect("{source}");
const answer = await client.predict("/{endpoint}", {{
    image: handle_file(picture),
{in_javascript}}});
console.log(answer.data.at(-1).{shown});""",
        "bash": f"""\
curl -s -o {file} {picture}  # or any other file
FILE=$(curl -s -F files=@{file} {address}/gradio_api/upload | tr -d '[]"')
EVENT=$(curl -s {address}/gradio_api/call/v2/{endpoint} \\
  -H "Content-Type: application/json" \\
  -d '{{"image": {{"path": "'"$FILE"'"}}{rest}}}' | cut -d '"' -f 4)
curl -sN {address}/gradio_api/call/{endpoint}/$EVENT""",
        "cli": f"""\
curl -s -o {file} {picture}  # or any other file
{{command}} predict {source} /{endpoint} '{payload}'""",
    }


def _json(value: Any) -> str:
    """A value as Python, JavaScript and JSON all read it: texts and numbers alone."""
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """A text for a place between single quotes of a shell."""
    return text.replace("'", "'\\''")
