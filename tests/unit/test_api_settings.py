"""What an owner decides about `/v1`, and who is let in by it."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from api.errors import ApiError
from api.keys import ASKERS_KEPT, Gate
from api.settings import ApiSettings
from models.schema import UserError
from tests.coroutines import finish


def asker(host: str = "1.2.3.4", key: str | None = None) -> Request:
    headers = [] if key is None else [(b"authorization", key.encode())]
    return Request({"type": "http", "client": (host, 1), "headers": headers})


def ask(gate: Gate, request: Request) -> int:
    """200, or the status of the refusal."""
    try:
        finish(gate, request)
    except ApiError as error:
        return error.status
    return 200


def test_nothing_set_is_no_key_and_no_host():
    assert ApiSettings.from_environment({}) == ApiSettings()


def test_entries_stand_by_commas_and_lines():
    found = ApiSettings.from_environment(
        {
            "PALIGEMMA_API_KEYS": "secret-one, secret-two\n",
            "PALIGEMMA_API_RATE": "0",
            "PALIGEMMA_IMAGE_HOSTS": "Images.example.org,",
        }
    )
    assert found == ApiSettings(
        frozenset({"secret-one", "secret-two"}), 0, frozenset({"images.example.org"})
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("PALIGEMMA_API_KEYS", "short"),
        ("PALIGEMMA_API_KEYS", "a key with spaces"),
        ("PALIGEMMA_API_RATE", "often"),
        ("PALIGEMMA_API_RATE", "-1"),
        ("PALIGEMMA_IMAGE_HOSTS", "https://example.org"),
        ("PALIGEMMA_IMAGE_HOSTS", "example.org:80"),
    ],
)
def test_what_cannot_be_meant_is_said_without_telling_a_key(name, value):
    with pytest.raises(UserError, match=name) as caught:
        ApiSettings.from_environment({name: value})
    assert name != "PALIGEMMA_API_KEYS" or value not in str(caught.value)


def test_a_key_is_asked_for_where_there_are_some():
    gate = Gate(ApiSettings(keys=frozenset({"secret-one", "secret-two"})))
    assert ask(gate, asker()) == 401
    assert ask(gate, asker(key="Bearer secret-on")) == 401
    assert ask(gate, asker(key="Basic secret-one")) == 401
    assert ask(gate, asker(key="Bearer secret-one")) == 200
    assert ask(gate, asker(key="bearer secret-two")) == 200


def test_each_address_has_its_own_rate_which_comes_back_with_time():
    now = [0.0]
    gate = Gate(ApiSettings(rate=2), lambda: now[0])
    assert [ask(gate, asker()) for _ in range(3)] == [200, 200, 429]
    assert ask(gate, asker("5.6.7.8")) == 200
    now[0] = 29.0
    assert ask(gate, asker()) == 429
    now[0] = 31.0
    assert ask(gate, asker()) == 200


def test_a_key_has_one_rate_at_all_addresses():
    gate = Gate(ApiSettings(keys=frozenset({"secret-one"}), rate=1), lambda: 0.0)
    assert ask(gate, asker("1.1.1.1", "Bearer secret-one")) == 200
    assert ask(gate, asker("2.2.2.2", "Bearer secret-one")) == 429


def test_rates_of_many_addresses_take_bounded_memory():
    gate = Gate(ApiSettings(rate=1), lambda: 0.0)
    assert ask(gate, asker("first")) == 200
    for number in range(ASKERS_KEPT):
        gate._take(f"{number}")
    assert ask(gate, asker("first")) == 200  # it was forgotten
