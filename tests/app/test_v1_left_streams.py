"""A stream whose connection is closed frees its row at once, however often, and leaves nothing."""

from __future__ import annotations

import threading
import time

import httpx
import psutil
import pytest

from evaluation.load.run import anonymous
from models.limits import MAX_NEW_TOKENS, MAX_TEMPERATURE
from tests.app.v1_requests import chat, data_url

TIMES, SETTLED = 50, 10  # memory is compared from then on
# So hot that the end is hardly ever drawn: the longest answer there is.
ENDLESS = {"temperature": MAX_TEMPERATURE, "stream": True}
STREAMS = {
    "/answer": {
        "image": data_url(),
        "prompt": "describe en",
        "max_new_tokens": MAX_NEW_TOKENS,
        **ENDLESS,
    },
    "/chat/completions": chat("describe en", max_tokens=MAX_NEW_TOKENS, **ENDLESS),
}


def owners() -> list[threading.Thread]:
    """The threads that answer; one lives as long as a row is taken or somebody waits."""
    return [each for each in threading.enumerate() if each.name.startswith("owner-")]


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="memory is counted by Linux")
def test_a_stream_that_is_closed_frees_its_row_within_a_second(served, page_backend):
    process, freed_s, memory = psutil.Process(), [], []
    finished = page_backend.finished
    with httpx.Client(base_url=f"{served.url}/v1", timeout=60) as client:
        for path, body in list(STREAMS.items()) * (TIMES // len(STREAMS)):
            with client.stream("POST", path, json=body) as reply:
                assert reply.status_code == 200, reply.read()
                lines = reply.iter_lines()  # kept, for its end would close the connection
                for line in lines:
                    if '"piece": "' in line or ('"content": "' in line and ': ""' not in line):
                        break
                answering = owners()
                assert answering and page_backend.active == 1
                closed = time.monotonic()
            for thread in answering:
                thread.join(timeout=10)
            freed_s.append(time.monotonic() - closed)
            assert page_backend.wait_for_active(0) and not owners()
            page_backend.requests.clear()  # which keep their pictures
            memory.append(anonymous(process))
    assert page_backend.finished == finished  # each was left before its end
    assert max(freed_s) < 1.0
    assert max(memory[SETTLED:]) - memory[SETTLED] < 3e6
