"""`/v1` as programs use it, beside the page that is served."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from pycocotools import mask as coco

from models.results import result_to_json
from models.schema import Decoding, Request
from tests.app.v1_requests import chat, data_url, image, png
from tests.choosing import answer_of


@pytest.fixture
def client(served, page_backend) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{served.url}/v1", timeout=60) as made:
        yield made


@pytest.fixture
def expected(backend):
    """The documented JSON of what the backend answers, without the times."""

    def ask(prompt: str, tokens: int = 64, **options) -> dict:
        request = Request(image(), prompt, decoding=Decoding(tokens), **options)
        _, result = answer_of(backend, request)
        return untimed(result_to_json(result))

    return ask


def untimed(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "timings"}


def events(text: str) -> list[tuple[str, dict]]:
    """The named events of a stream."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_task_about_a_data_url_is_answered_with_the_documented_json(client, expected):
    reply = client.post("/answer", json={"image": data_url(), "task": "caption", "language": "de"})
    assert reply.status_code == 200
    assert untimed(reply.json()) == expected("caption de")


def test_a_form_with_a_file_is_answered_alike(client, expected):
    fields = {"task": "segment", "objects": "cat, cup", "max_new_tokens": "100"}
    reply = client.post("/answer", files={"image": ("a.png", png())}, data=fields)
    assert untimed(reply.json()) == expected("segment cat ; cup", 100)


def test_masks_decode_in_pycocotools_to_the_size_of_the_picture(client):
    kinds = "segment " + " ; ".join(("pizza", "cat", "dog", "cup", "star", "tree"))
    body = {"image": data_url(), "prompt": kinds, "max_new_tokens": 200}
    masks = [each["mask"] for each in client.post("/answer", json=body).json()["detections"]]
    for mask in masks:
        assert coco.decode(mask).shape == (224, 224)
    named = client.post("/answer", json={"image": data_url(), "prompt": "caption en"}).json()
    name = named["text"].split(" and ")[0].split()[-1]
    body = {"image": data_url(), "task": "segment", "objects": name}
    (found, *_) = client.post("/answer", json=body).json()["detections"]
    assert np.asarray(coco.decode(found["mask"])).any()


def test_a_stream_has_the_tokens_and_then_the_result(client, expected):
    body = {"image": data_url(), "prompt": "describe en", "stream": True, "max_new_tokens": 30}
    reply = client.post("/answer", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = events(reply.text)
    pieces = [data["piece"] for name, data in found if name == "token"]
    name, result = found[-1]
    assert name == "result" and "".join(pieces) == result["text"]
    assert untimed(result) == expected("describe en", 30)


def test_a_box_and_several_pictures_can_be_asked_about(client, backend):
    body = {"image": data_url(), "task": "caption box", "box": [0.1, 0.2, 0.6, 0.9]}
    assert client.post("/answer", json=body).json()["prompt"].startswith("caption <loc0205>")
    body = {"images": [data_url(), data_url(png(4))], "prompt": "caption en"}
    reply = client.post("/answer", json=body).json()
    asked = Request(image(), "caption en", more_images=(image(png(4)),), decoding=Decoding(64))
    assert reply["text"] == answer_of(backend, asked)[1].text


def test_a_chat_completion_has_the_text_and_its_boxes(client, expected):
    reply = client.post("/chat/completions", json=chat("detect cat ; cup", max_tokens=80)).json()
    wanted = expected("detect cat ; cup", 80)
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": wanted["text"], "refusal": None}
    assert untimed(reply["paligemma"]) == wanted
    assert reply["usage"]["prompt_tokens"] == wanted["prompt_tokens"] > 196
    assert choice["finish_reason"] == "stop"
    short = client.post("/chat/completions", json=chat("describe en", max_tokens=3)).json()
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 3


def chunks(text: str) -> list[dict]:
    blocks = [each.removeprefix("data: ") for each in text.strip().split("\n\n")]
    assert blocks[-1] == "[DONE]"
    return [json.loads(each) for each in blocks[:-1]]


def test_a_streamed_completion_has_the_same_text_and_usage_where_asked(client, expected):
    body = chat("describe en", max_tokens=20, stream=True, stream_options={"include_usage": True})
    *written, used = chunks(client.post("/chat/completions", json=body).text)
    deltas = [each["choices"][0]["delta"].get("content", "") for each in written]
    assert "".join(deltas) == expected("describe en", 20)["text"]
    assert used["choices"] == [] and used["usage"]["completion_tokens"] == 20
    assert written[-1]["paligemma"]["text"] == "".join(deltas)


def test_a_text_that_stops_it_is_no_part_of_it(client, expected):
    text = expected("describe en")["text"]
    stop = text.split()[2]
    body = chat("describe en", stop=["never said", stop])
    whole = client.post("/chat/completions", json=body).json()["choices"][0]
    streamed = chunks(client.post("/chat/completions", json=body | {"stream": True}).text)
    deltas = [each["choices"][0]["delta"].get("content", "") for each in streamed]
    assert whole["message"]["content"] == "".join(deltas) == text[: text.index(stop)]
    assert whole["finish_reason"] == streamed[-1]["choices"][0]["finish_reason"] == "stop"


def test_log_probabilities_come_with_the_likeliest_others(client):
    body = chat("caption en", logprobs=True, top_logprobs=3, max_tokens=8)
    found = client.post("/chat/completions", json=body).json()["choices"][0]
    content = found["logprobs"]["content"]
    assert "".join(each["token"] for each in content) == found["message"]["content"]
    for each in content:
        assert len(each["top_logprobs"]) == 3
        assert each["top_logprobs"][0]["logprob"] == pytest.approx(each["logprob"], abs=0.05)


def test_only_the_last_text_of_the_user_is_the_prompt(client, expected):
    body = chat("caption en")
    first = body["messages"][0]
    body["messages"] = [
        {"role": "system", "content": "You are helpful."},
        first,
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "ocr"},
    ]
    reply = client.post("/chat/completions", json=body).json()
    assert reply["paligemma"]["prompt"] == "ocr"
    assert any("no conversation" in each for each in reply["paligemma"]["notes"])
    assert reply["choices"][0]["message"]["content"] == expected("ocr", 128)["text"]


@pytest.mark.parametrize(
    "written",
    [
        lambda url: url.replace("data:image/png;base64", "DATA:image/png;charset=utf-8;BASE64"),
        lambda url: url.rstrip("="),
        lambda url: "".join(f"{part}\n" for part in (url[:200], url[200:900], url[900:])),
        lambda url: url[:22] + url[22:].replace("+", "-").replace("/", "_"),
        lambda url: url[:22] + url[22:].replace("+", "%2B").replace("/", "%2F"),
    ],
    ids=["upper case", "no padding", "lines", "URL-safe", "percent signs"],
)
def test_data_urls_are_read_in_every_form_that_clients_write(client, expected, written):
    reply = client.post("/chat/completions", json=chat("caption en", written(data_url())))
    assert reply.json()["choices"][0]["message"]["content"] == expected("caption en")["text"]


def test_models_are_those_that_can_be_used_with_their_adapters(client):
    found = {each["id"]: each for each in client.get("/models").json()["data"]}
    assert {"nano-224", "nano-448", "nano-224+easy-vqa"} <= set(found)
    assert not any(each.startswith("3b-") for each in found)  # their weights are not here
    assert found["nano-224"]["input_modalities"] == ["text", "image"]
    assert client.get("/models/nano-224+easy-vqa").json() == found["nano-224+easy-vqa"]


def test_a_text_and_a_picture_may_be_of_different_messages(client, expected):
    body = chat("caption en")
    text, picture = body["messages"][0]["content"]
    for roles in (("user", "user"), ("user", "assistant")):
        body["messages"] = [
            {"role": role, "content": [part]}
            for role, part in zip(roles, (text, picture), strict=True)
        ]
        reply = client.post("/chat/completions", json=body).json()
        assert reply["choices"][0]["message"]["content"] == expected("caption en")["text"]


def test_tokens_are_those_of_the_text_that_was_sent(client, expected):
    text = expected("describe en")["text"]
    body = chat("describe en", stop=text.split()[2], logprobs=True)
    (whole,) = client.post("/chat/completions", json=body).json()["choices"]
    content, tokens = whole["message"]["content"], whole["logprobs"]["content"]
    said = "".join(each["token"] for each in tokens)
    streamed = chunks(client.post("/chat/completions", json=body | {"stream": True}).text)
    parts = [each["choices"][0]["logprobs"] or {"content": []} for each in streamed]
    told = "".join(token["token"] for part in parts for token in part["content"])
    assert said == told and said.startswith(content)
    assert len(said) - len(tokens[-1]["token"]) < len(content)  # each has a part of it


def test_an_adapter_answers_where_the_model_names_it(client, expected):
    question = "answer en what shape is in the image?"
    body = chat(question, model="nano-224+easy-vqa")
    found = client.post("/chat/completions", json=body).json()
    assert found["model"] == "nano-224+easy-vqa"
    wanted = expected(question, 32, adapter="easy-vqa")
    assert found["choices"][0]["message"]["content"] == wanted["text"]


def test_a_stream_that_is_left_ends_its_answer(client, page_backend):
    page_backend.hold(after_tokens=2)
    with client.stream("POST", "/chat/completions", json=chat("describe en", stream=True)) as reply:
        for line in reply.iter_lines():
            if '"content": ""' not in line and "content" in line:
                break
        assert page_backend.wait_for_active(1)
    assert page_backend.wait_for_active(0)


def test_a_request_that_is_left_while_it_waits_ends_too(served, page_backend):
    page_backend.hold(after_tokens=8)
    with httpx.Client(base_url=f"{served.url}/v1", timeout=1.0) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            hasty.post("/answer", json={"image": data_url(), "prompt": "describe en"})
    assert page_backend.wait_for_active(0)


def test_the_page_and_the_gradio_api_are_as_they_were(served):
    assert "PaliGemma" in httpx.get(served.url).text
    assert "/answer" in httpx.get(f"{served.url}/gradio_api/info").json()["named_endpoints"]
    assert httpx.get(f"{served.url}/healthz").json() == {"status": "alive"}
    assert httpx.get(f"{served.url}/readyz", timeout=60).json() == {"status": "ready"}


def test_every_example_of_the_description_is_answered(client):
    described = client.get("/openapi.json").json()
    for path in ("/answer", "/chat/completions"):
        content = described["paths"][path]["post"]["requestBody"]["content"]
        named = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        (example,) = described["components"]["schemas"][named]["examples"]
        written = json.dumps(example).replace("iVBORw0KGgo\\u2026", data_url().partition(",")[2])
        reply = client.post(path, content=written, headers={"Content-Type": "application/json"})
        assert reply.status_code == 200, reply.text
