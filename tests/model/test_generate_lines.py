"""The command line with a file of requests."""

from __future__ import annotations

import json
import threading

import pytest

from models.engine.engine import Engine
from models.generate import FAILED, main
from models.generate.asking import AT_ONCE
from tests.picture_files import save_kinds
from tests.serving import WatchedBackend
from training.nano.scenes.scene import HELD_OUT, draw


def test_a_file_of_requests_goes_on_after_bad_lines(run, png, tmp_path):
    lines = [
        {"image": png, "prompt": "caption en", "max_new_tokens": 2},
        {"image": "missing.png", "prompt": "caption en"},
        {"image": png},
        {"image": png, "prompt": "ocr", "max_new_tokens": 0},
        {"image": png, "prompt": "ocr", "max_tokens": 3},
        {"image": png, "prompt": "ocr", "max_new_tokens": "3"},
        {"image": png, "prompt": "ocr", "adapter": "none-such"},
        {"image": png, "prompt": "detect cat", "max_new_tokens": 2, "adapter": None},
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([*map(json.dumps, lines), "", "no json"]))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == FAILED
    assert ["error" in each for each in results] == [False, *[True] * 6, False, True]
    assert [each["line"] for each in results] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert results[7]["prompt"] == "detect cat"


@pytest.mark.parametrize(
    "field, sentence",
    [
        ('"max_new_tokens": true', '"max_new_tokens" is true. Use a whole number.'),
        ('"adapter": [null, false]', '"adapter" is [null, false]. Use a text.'),
        ('"id": {"é": 1.5}', '"id" is {"é": 1.5}. Use a text or a whole number.'),
        ('"größe": 3', 'The line has an unknown field "größe".'),
        ('"prompt": "detect ;;;"', "There is no object to look for yet."),
    ],
)
def test_what_is_wrong_with_a_line_is_quoted_as_it_was_written(run, png, tmp_path, field, sentence):
    file = tmp_path / "requests.jsonl"
    file.write_text(f'{{"image": {json.dumps(png)}, "prompt": "ocr", {field}}}', "utf-8")
    code, (answer,), _ = run("--jsonl", str(file))
    assert code == FAILED
    assert json.loads(answer)["error"].startswith(sentence)


def test_answers_come_in_the_order_of_their_lines_with_their_ids(run, png, tmp_path):
    tokens = [40, 1, 12, 2, 30, 1] * 5
    lines = [
        {"image": png, "prompt": "describe en", "max_new_tokens": each, "id": f"n{number}"}
        for number, each in enumerate(tokens)
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == 0
    assert [each["id"] for each in results] == [each["id"] for each in lines]
    assert [each["line"] for each in results] == list(range(1, 31))
    longest = results[0]["text"]
    assert all(longest.startswith(each["text"]) for each in results)


def test_lines_are_answered_side_by_side(png, backend, tmp_path, capsys):
    watched = WatchedBackend(backend)
    watched.hold(after_tokens=1)
    line = json.dumps({"image": png, "prompt": "describe en", "max_new_tokens": 3})
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([line] * (AT_ONCE + 5)))
    codes: list[int] = []
    command = threading.Thread(
        target=lambda: codes.append(main(["--jsonl", str(file)], watched)), daemon=True
    )
    command.start()
    assert watched.wait_for_active(AT_ONCE), "so many at once"
    watched.release()
    command.join()
    assert codes == [0]
    assert len(capsys.readouterr().out.splitlines()) == AT_ONCE + 5


def test_sequences_of_a_file_share_their_steps_on_a_slow_machine(run, png, tmp_path, monkeypatch):
    steps = []
    step = Engine.step
    monkeypatch.setattr("models.engine.engine.MAX_PAUSE_S", 0.0)  # all takes longer than it
    monkeypatch.setattr(Engine, "step", lambda engine: (steps.append(1), step(engine)))
    line = json.dumps({"image": png, "prompt": "describe en", "max_new_tokens": 12})
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([line] * 8))
    _, answers, _ = run("--jsonl", str(file))
    tokens = sum(json.loads(each)["timings"]["tokens"] for each in answers)
    assert len(steps) < tokens / 2


def test_lines_that_no_program_should_write_get_an_error_and_the_rest_goes_on(run, png, tmp_path):
    good = json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 1}).encode()
    lines = [
        b"[" * 100_000,
        b'{"id": ' + b"[" * 100_000,
        json.dumps({"image": png, "prompt": "caption \ud800 en"}).encode(),
        json.dumps({"image": "\udcff.png", "prompt": "ocr", "id": "\ud800"}).encode(),
        json.dumps({"image": "a\0b.png", "prompt": "ocr"}).encode(),
        b'{"image": "' + b"a" * 2_000_000 + b'"}',
        good[:-1] + b', "id": NaN}',
        good[:-1] + b', "id": [1]}',
        good[:-1] + b', "\xff": 1}',
        good[:-1] + b', "max_new_tokens": ' + b"9" * 5000 + b"}",
        json.dumps({"image": png, "prompt": None, "id": 5}).encode(),
        good,
    ]
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"\n".join(lines))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == FAILED
    assert ["error" in each for each in results] == [True] * (len(lines) - 1) + [False]
    assert [each["line"] for each in results] == list(range(1, len(lines) + 1))
    assert (results[3]["id"], results[10]["id"]) == ("\ud800", 5)
    assert all("." in each["error"] and len(each["error"]) < 400 for each in results[:-1])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(run, png, tmp_path, separator):
    line = json.dumps(
        {"image": png, "prompt": "ocr", "max_new_tokens": 1, "id": f"a{separator}b"},
        ensure_ascii=False,
    )
    file = tmp_path / "requests.jsonl"
    escaped = line if separator > "\x1f" else line.replace(separator, f"\\u{ord(separator):04x}")
    file.write_bytes(f"{escaped}\r\n{escaped}\n".encode())
    code, answers, _ = run("--jsonl", str(file))
    assert code == 0, answers
    assert [json.loads(each)["id"] for each in answers] == [f"a{separator}b"] * 2


def test_null_leaves_a_field_to_the_options(run, png, tmp_path):
    fields = {"image": png, "prompt": "describe en", "id": None, "adapter": None}
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps(fields | {"max_new_tokens": None}))
    code, answers, _ = run("--jsonl", str(file), "--max-new-tokens", "2", "--adapter", "easy-vqa")
    (result,) = map(json.loads, answers)
    assert code == 0, answers
    assert (result["adapter"], result["timings"]["tokens"]) == ("easy-vqa", 2)
    assert "id" not in result


def test_a_line_may_have_several_pictures(run, png, tmp_path):
    scenes = [str(tmp_path / f"{number}.png") for number in range(2)]
    for number, path in enumerate(scenes):
        draw(HELD_OUT + number).image.save(path)
    file = tmp_path / "requests.jsonl"
    fields = {"prompt": "caption en", "max_new_tokens": 12}
    images = (scenes[1], [scenes[1]], scenes, [], [png, 1], [png] * 5)
    file.write_text("".join(json.dumps({"image": each} | fields) + "\n" for each in images))
    code, lines, _ = run("--jsonl", str(file))
    alone, listed, both, *refused = (json.loads(line) for line in lines)
    assert code == 2
    assert alone["text"] == listed["text"] != both["text"]
    assert refused[0]["error"] == '"image" is []. Use a path or a list of paths.'
    assert refused[1]["error"].endswith("Use a path or a list of paths.")
    assert refused[2]["error"] == "There are 5 pictures. Use at most 4 in a prompt."


def test_what_is_wrong_with_the_options_is_said_once_for_all_lines(run, png, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text((json.dumps({"image": png, "prompt": "ocr"}) + "\n") * 3)
    for options in (("--checkpoint", "4b"), ("--precision", "int3")):
        code, lines, error = run("--jsonl", str(file), *options)
        assert (code, lines, error.count("\n")) == (FAILED, [], 1)


def test_a_file_of_good_requests_succeeds(run, png, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 2}) + "\n")
    assert run("--jsonl", str(file))[0] == 0


def test_every_kind_of_picture_is_answered(run, picture, tmp_path):
    file = tmp_path / "requests.jsonl"
    kinds = save_kinds(tmp_path, picture)
    file.write_text(
        "\n".join(
            json.dumps({"image": str(path), "prompt": "caption en", "max_new_tokens": 1})
            for path in kinds.values()
        )
    )
    code, answers, _ = run("--jsonl", str(file))
    assert code == 0, answers
    assert len(answers) == len(kinds)


def test_a_byte_order_mark_is_no_part_of_a_request(run, png, tmp_path):
    line = json.dumps({"image": png, "prompt": "caption en", "max_new_tokens": 1})
    (tmp_path / "marked.jsonl").write_text(line, "utf-8-sig")
    assert run("--jsonl", str(tmp_path / "marked.jsonl"))[0] == 0
    (tmp_path / "latin.jsonl").write_bytes(line.encode() + b"\xe9\n" + line.encode())
    code, answers, _ = run("--jsonl", str(tmp_path / "latin.jsonl"))
    wrong, right = map(json.loads, answers)
    assert code == FAILED
    assert (
        f"is not UTF-8 text: byte {len(line)} is wrong. Save the file as UTF-8." in wrong["error"]
    )
    assert "text" in right
