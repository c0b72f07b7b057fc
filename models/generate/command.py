"""What the commands that ask a model share: how they end, and the backend made at first need.

This module knows no options but the names of a checkpoint and its adapter.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog.catalog import Catalog
from models.catalog.deployment import FOLDER_MARKS
from models.generate.arguments import FAILED, INTERRUPTED
from models.generate.terminal import complain, write_utf8
from models.schema import UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend


def exit_code(run: Callable[[], int]) -> int:
    """What `run` returns; where it fails, what went wrong is said in one line."""
    write_utf8()
    warnings.simplefilter("ignore")  # of libraries; every failure is told in our own words
    logging.getLogger("models").addHandler(logging.NullHandler())  # and in one line
    try:
        return run()
    except UserError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nothing more can be said
        return FAILED


@contextmanager
def backend_at_need(
    catalog: Catalog, given: Backend | None
) -> Generator[Callable[[], Backend], None, None]:
    """A function, for any thread, that returns the backend `given`, or one of this machine that is
    made at the first call and closed at the end."""
    lock, made = threading.Lock(), given

    def get() -> Backend:
        nonlocal made
        with lock:
            made = made or _local_backend(catalog)
            return made

    try:
        yield get
    finally:
        if made is not None and given is None:
            made.close()


def with_folder(catalog: Catalog, checkpoint_name: str, name: str) -> tuple[Catalog, str]:
    """A catalog that has the adapter, and its name there, where `name` may be a folder's."""
    checkpoint = catalog.find(checkpoint_name)
    is_offered = name in (each.name for each in catalog.adapters_of(checkpoint))
    if is_offered or not (name.startswith(FOLDER_MARKS) or Path(name).is_dir()):
        return catalog, name
    folder = name if name.startswith(FOLDER_MARKS) else f"./{name}"
    catalog, adapter = catalog.with_adapter(folder, checkpoint)
    return catalog, adapter.name


def _local_backend(catalog: Catalog) -> Backend:
    """The backend of this machine; imported here because torch takes seconds and memory."""
    from models.loading.libraries import silence_libraries
    from models.serving.local_backend import LocalBackend

    silence_libraries()
    return LocalBackend(catalog)
