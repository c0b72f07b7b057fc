"""The tools of `/mcp`: their names, what each takes, and the prompt that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.limits import MAX_NEW_TOKENS
from models.prompts import grammar
from models.prompts.grammar import Task

FEWEST_SIDES, MOST_SIDES = 2, 4
_LENGTHS = {"short": Task.CAP, "medium": Task.CAPTION, "long": Task.DESCRIBE}
_LANGUAGE = "a code of one of 35 languages, such as en, de or ja"


class Asked(BaseModel):
    """What every tool takes."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        description="the picture: a data URL (data:image/png;base64,…), an https address on a host "
        "that this server's owner allows, or the path that POST /gradio_api/upload gave for a file"
    )
    max_new_tokens: int | None = Field(
        None,
        ge=1,
        le=MAX_NEW_TOKENS,
        description="most tokens of the answer; as many as the task needs where it is left out",
    )

    def to_prompt(self) -> str:
        """As the model gets it; UserError where something is missing."""
        raise NotImplementedError


class AskedOfOne(Asked):
    """What the tools take that ask one model."""

    model: str | None = Field(
        None, description="a checkpoint, with + and an adapter if wanted; the default if left out"
    )


class Caption(AskedOfOne):
    """Say in words what is in a picture."""

    language: str = Field("en", description=_LANGUAGE)
    length: Literal["short", "medium", "long"] = Field(
        "medium", description="short suits an alternative text, long is a description"
    )

    def to_prompt(self) -> str:
        """`cap`, `caption` or `describe`."""
        return grammar.build(_LENGTHS[self.length], language=self.language)


class Ask(AskedOfOne):
    """Answer a question about a picture in a few words."""

    question: str = Field(description="such as: how many cats are there?")
    language: str = Field("en", description=f"of the answer: {_LANGUAGE}")

    def to_prompt(self) -> str:
        """`answer`."""
        return grammar.build(Task.ANSWER, language=self.language, question=self.question)


class ReadText(AskedOfOne):
    """Read the text that is printed in a picture."""

    def to_prompt(self) -> str:
        """`ocr`."""
        return grammar.build(Task.OCR)


class Detect(AskedOfOne):
    """Find objects in a picture by their names: a box in pixels for each, and the picture with the
    boxes drawn on it."""

    objects: str = Field(description="names of what to find, by commas, such as: cat, dog")

    def to_prompt(self) -> str:
        """`detect`."""
        return grammar.build(Task.DETECT, objects=self.objects)


class Segment(AskedOfOne):
    """Find objects in a picture by their names: a box and a mask for each, and the picture with
    the masks drawn on it. Masks are COCO's compressed run lengths over the whole picture."""

    objects: str = Field(description="names of what to find, by commas, such as: cat, dog")

    def to_prompt(self) -> str:
        """`segment`."""
        return grammar.build(Task.SEGMENT, objects=self.objects)


class ComparedSide(BaseModel):
    """Who answers, and how."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="a checkpoint, with + and an adapter if wanted")
    precision: str = Field("auto", description="such as bf16 or nf4")
    temperature: float = Field(0.0, description="0 always takes the likeliest token")
    num_beams: int = Field(1, description="1 searches no beams")
    seed: int = Field(0, description="of temperatures above 0")


class Compare(Asked):
    """Ask two to four models, adapters, precisions or ways of decoding the same about one picture,
    at once, and say whether they agree. A side that fails leaves the others."""

    prompt: str = Field(
        description="as the models get it: cap en, caption en, describe en, ocr, answer en "
        "QUESTION, detect NAME ; NAME, segment NAME, or free text on one line",
    )
    sides: list[ComparedSide] = Field(min_length=FEWEST_SIDES, max_length=MOST_SIDES)

    def to_prompt(self) -> str:
        """As it was given, in the family's form."""
        return grammar.normalize(self.prompt)


@dataclass(frozen=True)
class Tool:
    """A tool by its name; its arguments' docstring says what it does."""

    name: str
    title: str
    arguments: type[Asked]

    @property
    def description(self) -> str:
        """What it does, on one line."""
        return " ".join((self.arguments.__doc__ or "").split())

    def schema(self, models: tuple[str, ...]) -> dict[str, Any]:
        """The JSON schema of its arguments; `models` are the names that can be used here."""
        made = self.arguments.model_json_schema()
        made["description"] = self.description
        holders = [made, *made.get("$defs", {}).values()]
        for holder in holders:
            if field := holder["properties"].get("model"):
                field["description"] += f". Here: {', '.join(models)}"
        return made


TOOLS = (
    Tool("caption", "Caption a picture", Caption),
    Tool("ask", "Ask about a picture", Ask),
    Tool("read_text", "Read text in a picture", ReadText),
    Tool("detect", "Detect objects", Detect),
    Tool("segment", "Segment objects", Segment),
    Tool("compare", "Compare models", Compare),
)
