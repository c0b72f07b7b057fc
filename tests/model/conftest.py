"""The command line, run in this process."""

from __future__ import annotations

import pytest

from models.generate import main


@pytest.fixture
def run(backend, capsys):
    """Runs the command line; returns (exit code, lines of output, text of the error stream)."""

    def call(*arguments: str) -> tuple[int, list[str], str]:
        try:
            code = main(arguments, backend)
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return call


@pytest.fixture
def png(picture, tmp_path) -> str:
    """The path of a file with `picture`."""
    path = tmp_path / "picture.png"
    picture.save(path)
    return str(path)
