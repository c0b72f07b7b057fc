"""Several people at once get what each gets alone, and closed tabs leave no row behind."""

from __future__ import annotations

from functools import partial

import pytest

from evaluation.load import run
from tests.coroutines import finish
from tests.serving import free_port


@pytest.mark.slow
@pytest.mark.skipif(not run.psutil.LINUX, reason="memory is counted by Linux")
def test_pages_and_programs_at_once_get_their_own_answers():
    port = free_port()
    with run.served(port) as process:
        url = f"http://127.0.0.1:{port}"
        record = finish(partial(run.measure, url, process, clients=10, seconds=5, programs=10))
    assert set(record["outcomes"]) <= {"answered", "left"}, record
    assert record["outcomes"]["answered"] > 10
    assert record["failures"] == []
    assert all(side["outcomes"]["answered"] > 5 for side in record["sides"])
    assert " of programs" in run.render(record)
