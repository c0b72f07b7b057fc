"""The page's API as a stranger's program meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError
from PIL import Image
from pycocotools import mask as coco

from models.prompts.tokens import parse_detections
from models.results import result_to_json
from ui.examples import FOLDER

STATUS, TEXT, ANNOTATED, TABLE, FIGURES, DETAILS = range(6)


@pytest.fixture(scope="module")
def client(served) -> Client:
    return Client(served.url, verbose=False)


def untimed(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "timings"}


def post_image(url: str, image: dict, more: list | None = None) -> tuple[str, str]:
    """Post image values as they are to /answer; returns (last event, its data)."""
    info = httpx.get(f"{url}/gradio_api/info").json()
    parameters = info["named_endpoints"]["/answer"]["parameters"]
    rest = [parameter["parameter_default"] for parameter in parameters[1:]]
    rest[-1] = more or []
    call = httpx.post(f"{url}/gradio_api/call/answer", json={"data": [image, *rest]}, timeout=60)
    if call.status_code == 422:
        return "error", call.json()["error"]
    call.raise_for_status()
    event_id = call.json()["event_id"]
    answer = httpx.get(f"{url}/gradio_api/call/answer/{event_id}", timeout=60).text
    lines = answer.strip().splitlines()
    return lines[-2].removeprefix("event: "), lines[-1].removeprefix("data: ")


def test_a_caption_comes_back_with_the_prompt_and_timings(client, page_backend, scene_png):
    result = client.predict(image=handle_file(scene_png), api_name="/answer")
    assert result[TEXT]
    details = result[DETAILS]
    assert details["prompt"] == "caption en"
    assert details["checkpoint"] == "nano-224"
    assert details["timings"]["tokens"] >= 1
    assert details["timings"]["first_token_s"] > 0


def test_an_answer_streams(client, page_backend, scene_png):
    page_backend.hold(after_tokens=1)
    job = client.submit(
        image=handle_file(scene_png), task="describe", max_new_tokens=24, api_name="/answer"
    )
    assert page_backend.wait_for_active(1)
    streamed = iter(job)
    while not next(streamed)[TEXT]:
        pass
    assert not job.done()
    page_backend.release()
    assert job.result(timeout=60)[DETAILS]["timings"]["tokens"] > 1


def test_the_long_endpoint_and_the_short_ones_are_public(client):
    found = client.view_api(return_format="dict")["named_endpoints"]
    names = {
        name: [each["parameter_name"] for each in endpoint["parameters"]]
        for name, endpoint in found.items()
    }
    assert len(names.pop("/answer")) > 20
    assert list(names) == ["/caption", "/ask", "/read", "/detect", "/segment"]
    for name, arguments in names.items():
        assert arguments[0] == "image" and 3 <= len(arguments) <= 6, name
        assert arguments[-3:] == ["model", "adapter", "max_new_tokens"]


@pytest.mark.parametrize(
    ("endpoint", "given", "prompt"),
    [
        ("/caption", {}, "caption en"),
        ("/caption", {"language": "de", "length": "short"}, "cap de"),
        ("/ask", {"question": "how many cups are there?"}, "answer en how many cups are there?"),
        ("/read", {"max_new_tokens": 5}, "ocr"),
        ("/detect", {"objects": "cat, cup"}, "detect cat ; cup"),
        ("/segment", {"objects": "cup", "model": "nano-448"}, "segment cup"),
        ("/ask", {"question": "what?", "model": "nano-224+easy-vqa"}, "answer en what?"),
        ("/ask", {"question": "what?", "adapter": "easy-vqa"}, "answer en what?"),
        ("/caption", dict.fromkeys(("language", "length", "model", "adapter")), "caption en"),
    ],
)
def test_short_endpoints_give_the_result_of_the_backend(
    client, page_backend, scene_png, endpoint, given, prompt
):
    found = client.predict(image=handle_file(scene_png), **given, api_name=endpoint)
    asked = page_backend.requests[-1]
    assert found["prompt"] == asked.prompt == prompt
    assert asked.checkpoint == (given.get("model") or "nano-224").partition("+")[0]
    assert (asked.adapter == "easy-vqa") == ("easy-vqa" in given.values() or "+" in str(given))
    with Image.open(scene_png) as picture:
        again = replace(asked, image=picture.convert("RGB"))
    (*_, wanted) = page_backend.answer(again)
    assert untimed(found) == untimed(result_to_json(wanted))
    assert endpoint != "/read" or found["timings"]["tokens"] <= 5


@pytest.mark.parametrize(
    ("endpoint", "given", "sentence"),
    [
        ("/ask", {"question": " "}, "no question"),
        ("/detect", {"objects": ","}, "no object"),
        ("/read", {"model": "gpt"}, "no checkpoint 'gpt'"),
        ("/read", {"model": "3b-mix-224"}, "3b-mix-224"),
        ("/read", {"adapter": "x"}, "no adapter 'x'"),
        ("/read", {"model": "nano-224+easy-vqa", "adapter": "x"}, "Name one"),
        ("/read", {"max_new_tokens": 5000}, "1024"),
        ("/caption", {"length": "endless"}, "short, medium, long"),
    ],
)
def test_short_endpoints_refuse_in_a_sentence(client, scene_png, endpoint, given, sentence):
    with pytest.raises((AppError, ValidationError), match=sentence):
        client.predict(image=handle_file(scene_png), **given, api_name=endpoint)


def test_the_queue_cannot_be_skipped(served):
    reply = httpx.post(f"{served.url}/gradio_api/run/answer", json={"data": [None]})
    assert reply.status_code == 404


def test_monitoring_is_off(served):
    reply = httpx.get(f"{served.url}/monitoring/summary")
    assert reply.status_code in (401, 403, 404)


def test_an_uploaded_path_is_answered(served, page_backend, scene_png):
    with scene_png.open("rb") as file:
        reply = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("s.png", file)})
    event, data = post_image(served.url, {"path": reply.json()[0]})
    assert event == "complete"
    assert "caption en" in data


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["bare", "meta"])
def test_a_server_path_does_not_reveal_the_file(served, page_backend, tmp_path, meta):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    asked = len(page_backend.requests)
    there = post_image(served.url, {"path": str(secret), **meta})
    nowhere = post_image(served.url, {"path": str(tmp_path / "nowhere.png"), **meta})
    assert there[0] == nowhere[0] == "error"
    assert there[1].replace("secret", "nowhere") == nowhere[1]
    assert len(page_backend.requests) == asked


def test_further_pictures_are_uploads_too_and_at_most_three(
    client, served, page_backend, scene_png, tmp_path
):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    with scene_png.open("rb") as file:
        reply = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("s.png", file)})
    given = {"path": reply.json()[0]}
    asked = len(page_backend.requests)
    for further, sentence in (
        ([{"path": str(secret)}], "not uploaded"),
        ([{"path": "http://127.0.0.1:9/x.png"}], "web address"),
        ([given] * 4, "There are 5 pictures. Use at most 4"),
        ([str(secret)], "no list of uploaded files"),
    ):
        event, data = post_image(served.url, given, further)
        assert event == "error" and sentence in data
    assert len(page_backend.requests) == asked
    picture = handle_file(scene_png)
    client.predict(image=picture, more_images=[picture], api_name="/answer")
    assert len(page_backend.requests[-1].images) == 2


def test_a_link_in_the_cache_does_not_lead_out_of_it(served, page_backend, tmp_path):
    from gradio.utils import get_upload_folder

    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    link = Path(get_upload_folder()) / "link.png"
    link.symlink_to(secret)
    event, data = post_image(served.url, {"path": str(link)})
    assert event == "error"
    assert "not uploaded" in data


@pytest.mark.parametrize(
    "image",
    [
        {"path": "x.png", "url": "data:image/png;base64,iVBORw0KGgo="},
        {"path": "http://127.0.0.1:9/x.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "file:///etc/hostname", "meta": {"_type": "gradio.FileData"}},
    ],
    ids=["data address", "web address", "file address"],
)
def test_an_address_is_refused(served, page_backend, image):
    asked = len(page_backend.requests)
    event, _ = post_image(served.url, image)
    assert event == "error"
    assert len(page_backend.requests) == asked


def test_a_text_file_named_png_gets_a_sentence(client, tmp_path):
    fake = tmp_path / "fake.png"
    fake.write_text("this is no picture")
    with pytest.raises(AppError, match="not a picture"):
        client.predict(image=handle_file(fake), api_name="/answer")


def test_an_upload_over_the_limit_is_refused(served):
    too_large = b"\x89PNG" + bytes(21 * 1024 * 1024)
    reply = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("big.png", too_large)})
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"task": "answer"}, "no question"),
        ({"task": "detect", "objects": " ; "}, "no object"),
        ({"task": "caption", "language": "xx"}, "xx"),
        ({"task": "caption box", "box_left": 80, "box_right": 20}, "Left must be less than right"),
        ({"size": "3B", "variant": "mix", "resolution": "896"}, "mix at 448 px"),
        ({"adapter": "nobody/nothing"}, "nobody/nothing"),
        ({"precision": "fp8"}, "bf16"),
        ({"max_new_tokens": 5000}, "1024"),
        ({"max_new_tokens": 2.5}, "whole number"),
        ({"temperature": "hot"}, 'Temperature is "hot". Use a number from 0 to 2.'),
        ({"top_p": None}, "Top-p is null"),
        ({"seed": "abc"}, 'Seed is "abc". Use a number.'),
        ({"seed": 1.5}, "Seed is 1.5. Use a whole number."),
        ({"box_right": 150, "task": "caption box"}, "Right % is 150. Use a number from 0 to 100."),
        ({"box_left": "x", "task": "caption box"}, 'Left % is "x"'),
    ],
)
def test_a_bad_request_is_answered_with_the_remedy(client, scene_png, given, sentence):
    with pytest.raises((AppError, ValidationError), match=sentence):
        client.predict(image=handle_file(scene_png), **given, api_name="/answer")


def test_no_picture_is_answered_with_the_remedy(client):
    with pytest.raises(AppError, match="Upload, paste or take one"):
        client.predict(image=None, api_name="/answer")


def test_a_size_without_weights_says_what_is_missing(client, scene_png):
    choice = {"size": "28B", "variant": "pt", "resolution": "896"}
    with pytest.raises(AppError, match="28b-pt-896"):
        client.predict(image=handle_file(scene_png), **choice, api_name="/answer")


def test_a_choice_that_does_not_exist_is_answered_with_those_that_do(client, scene_png):
    choice = {"size": "28B", "variant": "ft-docci", "resolution": "448"}
    with pytest.raises(AppError, match=r"does not exist as 'ft-docci' at 448 px.*mix at 224 px"):
        client.predict(image=handle_file(scene_png), **choice, api_name="/answer")


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_detections_are_drawn_listed_and_returned_as_numbers(client, task):
    entries = json.loads((FOLDER / "examples.json").read_text("utf-8"))
    entry = next(
        each for each in entries if each["task"] == task and each["checkpoint"] == "nano-224"
    )
    expected = parse_detections(entry["answer"]).objects
    assert expected
    result = client.predict(
        image=handle_file(FOLDER / entry["image"]),
        task=task,
        objects=entry["prompt"].removeprefix(f"{task} "),
        api_name="/answer",
    )
    details = result[DETAILS]
    assert details["prompt"] == entry["prompt"]
    assert len(details["detections"]) == len(expected)
    for detection, true in zip(details["detections"], expected, strict=True):
        assert detection["label"] == true.label
        assert detection["box_xyxy_px"] == pytest.approx(true.box.to_xyxy_px(224, 224), abs=12)
        assert (detection["mask"] is not None) == (task == "segment")
        if detection["mask"]:
            inside = coco.decode(detection["mask"])
            assert inside.shape == (224, 224) and inside.any()
    drawn = result[ANNOTATED].get("value", result[ANNOTATED])
    labels = [layer["label"] for layer in drawn["annotations"]]
    assert len(labels) == len(expected)
    table = result[TABLE] if isinstance(result[TABLE], str) else result[TABLE]["value"]
    assert table.count('<th scope="row">') == len(expected)
    assert all(label in table for label in labels)
