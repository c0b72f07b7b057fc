"""The samples of the "Use via API" view: programs that run as they are printed.

Gradio's own give the picture as an address of another site, which is refused here, and read the
answer in a way that not every shell has. These fetch a picture from this server first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ui.components import EXAMPLE

EXAMPLE_PATH = f"/example{EXAMPLE.suffix}"
ASKED: Mapping[str, str | float] = {"task": "caption"}


def with_own_samples(info: str, address: str, space: str | None) -> str:
    """Gradio's description of the API, JSON, with the samples of /answer replaced.

    `address` is the page's without a slash at its end; on a Space, `space` is its owner/name.
    """
    described: dict[str, Any] = json.loads(info)
    described["named_endpoints"]["/answer"]["code_snippets"] = samples(address, space)
    return json.dumps(described, ensure_ascii=False)


def samples(
    address: str, space: str | None = None, asked: Mapping[str, str | float] = ASKED
) -> Mapping[str, str]:
    """Programs that ask what `asked` says, by the names of the view's languages.

    `asked` has arguments of /answer by name, the picture not among them: that is fetched from this
    server. In "cli", the page puts the name of Gradio's command for `{command}`.
    """
    picture, source = f"{address}{EXAMPLE_PATH}", space or address
    file = f"example{EXAMPLE.suffix}"
    uploaded = {"path": file, "meta": {"_type": "gradio.FileData"}}
    payload = _quoted(_json({"image": uploaded, **asked}))
    # The shell puts the uploaded file's place between two quoted parts.
    rest = _quoted("".join(f", {_json(name)}: {_json(value)}" for name, value in asked.items()))
    in_python = "".join(f"    {name}={_json(value)},\n" for name, value in asked.items())
    in_javascript = "".join(f"    {name}: {_json(value)},\n" for name, value in asked.items())
    return {
        "python": f"""\
from urllib.request import urlretrieve

from gradio_client import Client, handle_file

picture, _ = urlretrieve("{picture}")  # or the path of a file
client = Client("{source}")
*_, result = client.predict(
    image=handle_file(picture),
{in_python}    api_name="/answer",
)
print(result["text"])""",
        "javascript": f"""\
import {{ Client, handle_file }} from "@gradio/client";

const picture = await (await fetch("{picture}")).blob(); // or any other file
const client = await Client.connect("{source}");
const answer = await client.predict("/answer", {{
    image: handle_file(picture),
{in_javascript}}});
console.log(answer.data.at(-1).text);""",
        "bash": f"""\
curl -s -o {file} {picture}  # or any other file
FILE=$(curl -s -F files=@{file} {address}/gradio_api/upload | tr -d '[]"')
EVENT=$(curl -s {address}/gradio_api/call/v2/answer \\
  -H "Content-Type: application/json" \\
  -d '{{"image": {{"path": "'"$FILE"'"}}{rest}}}' | cut -d '"' -f 4)
curl -sN {address}/gradio_api/call/answer/$EVENT""",
        "cli": f"""\
curl -s -o {file} {picture}  # or any other file
{{command}} predict {source} /answer '{payload}'""",
    }


def _json(value: Any) -> str:
    """A value as Python, JavaScript and JSON all read it: texts and numbers alone."""
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """A text for a place between single quotes of a shell."""
    return text.replace("'", "'\\''")
