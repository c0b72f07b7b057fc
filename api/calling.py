"""A tool of `/mcp` is called: its arguments become requests, and the results a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from api import tool_answers
from api.asking import request_about, tokens_for
from api.choosing import Choice, choose
from api.errors import ApiError, told
from api.pictures import open_all
from api.running import Runner
from api.shared import Shared
from api.tool_answers import Reply
from api.tools import TOOLS, Asked, AskedOfOne, Compare, ComparedSide
from models.images import ROOM, OpenedImage
from models.schema import Decoding, Result, UserError, quoted

HasLeft = Callable[[], Awaitable[bool]]
Uploaded = Callable[[str], Path]
DESCRIBED_AT = "the tool's inputSchema"
NO_PICTURE = ApiError(
    400,
    "image is neither a data URL, an https address, nor the path of a file that was uploaded here. "
    "Send data:image/png;base64, and the file's bytes.",
    code="bad_image",
)
_LETTERS = "ABCD"


class Calls:
    """Answers calls of tools."""

    def __init__(self, shared: Shared, uploaded: Uploaded):
        """`uploaded` gives the file at a path that an upload gave, or raises a UserError."""
        self._runner: Runner = shared.runner
        self._remote, self._uploaded = shared.remote, uploaded

    async def call(
        self, name: str, arguments: dict[str, Any], has_left: HasLeft
    ) -> tuple[OpenedImage, Reply]:
        """The picture and what is found in it; it stops soon after the asker `has_left`.

        ApiError, UserError or a ValidationError where there is nothing to give.
        """
        tool = next((each for each in TOOLS if each.name == name), None)
        if tool is None:
            known = ", ".join(each.name for each in TOOLS)
            raise ApiError(404, f"There is no tool {quoted(name)}. Use one of {known}.")
        asked = tool.arguments.model_validate(arguments)
        self._runner.check_room()
        if isinstance(asked, Compare):
            opened = await self._open(asked.image)
            return opened, await self._compare(asked, opened, has_left)
        assert isinstance(asked, AskedOfOne)
        choice = choose(self._runner.backend, asked.model)
        opened = await self._open(asked.image)
        result = await self._ask(asked, opened, choice, "auto", {}, has_left)
        return opened, tool_answers.one(result, opened.notes)

    async def _open(self, source: str) -> OpenedImage:
        if "://" not in source and source.lstrip()[:5].lower() != "data:":
            try:
                path = self._uploaded(source)
            except UserError:
                raise NO_PICTURE from None
            return await anyio.to_thread.run_sync(ROOM.open, path)
        (opened,) = await open_all([source], self._remote)
        return opened

    async def _ask(
        self,
        asked: Asked,
        opened: OpenedImage,
        choice: Choice,
        precision: str,
        how: dict[str, Any],
        has_left: HasLeft,
    ) -> Result:
        prompt = asked.to_prompt()
        decoding = Decoding(tokens_for(asked.max_new_tokens, prompt, choice), **how)
        request = request_about([opened], prompt, choice, precision, decoding, is_streamed=False)
        result, _ = await self._runner.result(request, has_left)
        return result

    async def _compare(self, asked: Compare, opened: OpenedImage, has_left: HasLeft) -> Reply:
        """All sides at once, each in a row of its model; the failure itself where all fail."""
        found: dict[int, tool_answers.Side] = {}
        failures: dict[int, Exception] = {}

        async def answer(number: int, side: ComparedSide) -> None:
            name = f"{_LETTERS[number]}, {side.model}"
            how = {
                "temperature": side.temperature,
                "num_beams": side.num_beams,
                "seed": side.seed,
            }
            try:
                choice = choose(self._runner.backend, side.model, precision=side.precision)
                result = await self._ask(asked, opened, choice, side.precision, how, has_left)
                found[number] = tool_answers.Side(name, side.model, result, None)
            except Exception as error:
                failures[number] = error
                said = str(told(error, DESCRIBED_AT))
                found[number] = tool_answers.Side(name, side.model, None, said)

        async with anyio.create_task_group() as tasks:
            for number, side in enumerate(asked.sides):
                tasks.start_soon(answer, number, side)
        if len(failures) == len(asked.sides):
            raise failures[0]
        return tool_answers.several([found[each] for each in sorted(found)], opened.notes)
