"""The page as a visitor uses it."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from models.catalog.catalog import Catalog
from tests.browser.visitor import SOMETHING, example_of, expect_answered, pick, run, upload
from ui.examples import read_examples


def test_an_uploaded_picture_gets_a_caption(page, scene_png):
    upload(page, scene_png)
    run(page)
    expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
    expect_answered(page)
    expect(page.locator("#figures")).to_contain_text(re.compile(r"\d+\.\d\d s"))


def test_the_text_appears_as_it_is_written(page, page_backend, scene_png):
    upload(page, scene_png)
    page_backend.hold(after_tokens=2)
    run(page)
    answer = page.get_by_label("Answer", exact=True)
    expect(answer).to_have_value(SOMETHING)
    half = answer.input_value()
    expect(page.locator("#status")).to_contain_text("Writing")
    page_backend.release()
    expect_answered(page)
    assert answer.input_value().startswith(half.strip())
    assert len(answer.input_value()) > len(half)


def test_stop_stops_the_work_and_keeps_what_was_written(page, page_backend, scene_png):
    upload(page, scene_png)
    page_backend.hold(after_tokens=2)
    run(page)
    answer = page.get_by_label("Answer", exact=True)
    expect(answer).to_have_value(SOMETHING)
    finished = page_backend.finished
    page.get_by_role("button", name="Stop").click()
    assert page_backend.wait_for_active(0)
    assert page_backend.finished == finished
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(answer).to_have_value(SOMETHING)
    expect(page.locator("#figures")).to_contain_text(re.compile(r"\d+\.\d\d s"))
    page.get_by_role("button", name=re.compile("^Details")).click()
    expect(page.locator("#details")).to_contain_text("caption en")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_closing_the_page_stops_the_work(page, page_backend, scene_png):
    upload(page, scene_png)
    page_backend.hold(after_tokens=2)
    run(page)
    expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
    finished = page_backend.finished
    page.close()
    assert page_backend.wait_for_active(0)
    assert page_backend.finished == finished


def test_an_example_fills_the_page_and_runs_with_one_click(page):
    index, example = 0, read_examples(Catalog())[0]
    page.get_by_role("button", name="Decoding").click()
    temperature = page.get_by_label(re.compile("number input for Temperature")).first
    temperature.fill("1.5")
    page.locator(f"#example-{index}").click()
    expect(page.locator("#expected")).to_contain_text(f"Expected: {example.expect}")
    expect(temperature).to_have_value("0")
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.get_by_label("Prompt to be sent")).to_have_value(example.prompt)
    expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
    expect_answered(page)


def test_an_example_with_an_adapter_is_answered_with_it_and_says_so(page):
    """And the next one, which has none, is not."""
    examples = read_examples(Catalog())
    index = next(i for i, each in enumerate(examples) if each.adapter)
    page.locator(f"#example-{index}").click()
    settings = page.locator("#settings")
    expect(settings).to_contain_text(f"adapter {examples[index].adapter}")
    expect(page.get_by_label("Answer", exact=True)).to_have_value(examples[index].expect)
    expect_answered(page)
    page.locator("#example-0").click()
    expect(settings).not_to_contain_text(examples[index].adapter)
    expect(page.get_by_label("Answer", exact=True)).to_have_value(examples[0].expect)
    page.get_by_label("Adapter", exact=True).click()
    page.get_by_role("option", name=examples[index].adapter).click()
    expect(settings).to_contain_text(f"adapter {examples[index].adapter}")


def test_the_last_of_two_examples_wins(page, page_backend):
    examples = read_examples(Catalog())
    first, last = (
        next(index for index, each in enumerate(examples) if each.prompt == prompt)
        for prompt in ("cap en", "ocr")
    )
    page_backend.hold(after_tokens=1)
    page.locator(f"#example-{first}").click()
    expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
    page_backend.hold(after_tokens=10**6)
    page.locator(f"#example-{last}").click()
    expect(page.get_by_label("Prompt to be sent")).to_have_value(examples[last].prompt)
    page_backend.release()
    expect(page.get_by_label("Answer", exact=True)).to_have_value(examples[last].expect)
    expect_answered(page)


def test_the_focus_follows_run_and_stop(page, page_backend, scene_png):
    upload(page, scene_png)
    page_backend.hold(after_tokens=1)
    page.locator("#run").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_focused()
    page_backend.release()
    expect_answered(page)
    expect(page.locator("#run")).to_be_focused()


def test_objects_are_drawn_with_labels_and_their_rows_point_at_them(page):
    index, found = example_of("segment")
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    stage = page.locator("#annotated .stage")
    expect(stage.locator("img.base-image")).to_be_visible()
    expect(stage.locator("img.mask")).to_have_count(len(found))
    expect(stage.locator(".box-label")).to_have_text([each.label for each in found])
    expect(page.locator("#boxes tbody tr")).to_have_count(len(found))
    expect(page.locator("#boxes thead")).to_contain_text("Mask area")
    page.locator("#boxes tbody tr").first.hover()
    expect(stage.locator(".box").first).to_have_class(re.compile(r"\blit\b"))
    page.locator("h1").hover()
    expect(stage.locator(".box").first).not_to_have_class(re.compile(r"\blit\b"))
    stage.locator(".box").first.hover()
    expect(page.locator("#boxes tbody tr").first).to_have_class(re.compile(r"\blit\b"))


def test_the_whole_screen_shows_boxes_and_masks_on_the_picture(page):
    index, _ = example_of("segment")
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    page.get_by_role("button", name="Full screen", exact=True).click()
    dialog = page.get_by_role("dialog")
    picture = dialog.locator("img.base-image").bounding_box()
    assert dialog.locator("img.mask").bounding_box() == picture
    assert picture["height"] > 0.8 * page.viewport_size["height"]
    assert picture["y"] + picture["height"] <= page.viewport_size["height"]
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_focused()


def test_the_whole_screen_of_the_picture_is_covered_by_nothing(page, scene_png):
    upload(page, scene_png)
    page.locator("#picture").get_by_role("button", name="Fullscreen").click()
    expect(page.get_by_role("dialog").locator("img")).to_be_visible()
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    covered = page.evaluate(
        """([width, height]) => [0.1, 0.5, 0.9].flatMap((x) => [0.1, 0.5, 0.9].map((y) => [x, y]))
           .filter(([x, y]) => !document.elementFromPoint(x * width, y * height)
             .closest("dialog"))""",
        [width, height],
    )
    assert covered == []


def test_examples_that_cannot_be_answered_here_are_not_offered(page, page_backend):
    examples = read_examples(Catalog())
    offered = [
        each.title for each in examples if page_backend.missing(each.checkpoint.name) is None
    ]
    assert 0 < len(offered) < len(examples)
    expect(page.locator("#examples button")).to_have_text(offered)


def test_a_bad_upload_gets_a_message_a_person_can_act_on(page, tmp_path):
    fake = tmp_path / "holiday.png"
    fake.write_text("this is no picture")
    page.locator("#picture input[type=file]").set_input_files(fake)
    expect(page.locator("#picture-note")).to_contain_text("not a picture")
    page.locator("#example-0").click()
    expect(page.locator("#picture-note .notice")).to_have_count(0)


def test_a_picture_of_too_many_pixels_says_how_many_and_ends_the_old_answer(
    page, scene_png, tmp_path
):
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    huge = tmp_path / "huge.png"
    Image.new("1", (7200, 7200)).save(huge)
    remove = re.compile("remove|clear", re.IGNORECASE)
    page.locator("#picture").get_by_role("button", name=remove).first.click()
    page.locator("#picture input[type=file]").set_input_files(huge)
    expect(page.locator("#picture-note")).to_contain_text("52 million pixels")
    expect(page.locator("#picture img")).to_have_count(0)
    run(page)
    expect(page.locator("#status")).to_contain_text("There is no picture yet.")
    expect(page.get_by_text("52 million pixels")).to_have_count(1)
    expect(page.get_by_label("Answer", exact=True)).to_have_value("")
    upload(page, scene_png)
    expect(page.locator("#picture-note .notice")).to_have_count(0)


def test_running_without_a_picture_says_what_to_do(page):
    run(page)
    error = page.locator("#status .notice-error")
    expect(error).to_contain_text("Upload, paste or take one first")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(page.locator("#picture button.upload-container")).to_be_focused()
    pick(page, "Ask")
    expect(error).to_be_hidden()
    expect(page.locator("#answer-panel")).not_to_have_class(re.compile("stale"))
    expect(page.get_by_label("Prompt to be sent")).to_have_value("")
    expect(page.get_by_role("button", name="Copy the prompt")).to_be_hidden()
    run(page)
    expect(error).to_be_visible()


def test_the_prompt_is_shown_while_it_is_written_and_nothing_typed_is_lost(page):
    prompt = page.get_by_label("Prompt to be sent")
    expect(prompt).to_have_value("caption en")
    pick(page, "Detect")
    page.get_by_label("Objects to find (comma-separated)").fill("cat ; dog")
    expect(prompt).to_have_value("detect cat ; dog")
    pick(page, "Ask")
    expect(page.get_by_label("Objects to find (comma-separated)")).to_be_hidden()
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    expect(prompt).to_have_value("answer en what is on the left?")
    pick(page, "Segment")
    expect(page.get_by_label("Objects to find (comma-separated)")).to_have_value("cat ; dog")
    expect(prompt).to_have_value("segment cat ; dog")
    pick(page, "3B")
    expect(page.get_by_label("Objects to find (comma-separated)")).to_have_value("cat ; dog")
    expect(prompt).to_have_value("segment cat ; dog")


def test_the_pickers_offer_only_what_exists(page):
    resolutions = page.get_by_role("radiogroup", name="Resolution").get_by_role("radio")
    expect(resolutions).to_have_count(2)
    pick(page, "3B")
    expect(page.locator("#settings")).to_contain_text("3b-")
    expect(resolutions).to_have_count(2)
    pick(page, "pt")
    expect(resolutions).to_have_count(3)
    pick(page, "896 px")
    pick(page, "mix")
    expect(resolutions).to_have_count(2)
    expect(page.get_by_role("radio", name="448 px", exact=True)).to_be_checked()


def test_of_two_sizes_chosen_at_once_the_last_stands(page):
    sizes = page.get_by_role("radiogroup", name="Size").get_by_role("radio")
    expect(sizes.first).to_be_visible()
    sizes.first.evaluate(
        """node => {
          const of = (name) => [...node.closest("fieldset").querySelectorAll("input")]
            .find((each) => each.value === name);
          of("3B").click();
          setTimeout(() => of("10B").click());
        }"""
    )
    expect(page.locator("#settings")).to_contain_text("10b-")
    expect(page.locator("#settings")).to_contain_text("10b-mix-224")
    expect(page.get_by_role("radio", name="10B", exact=True)).to_be_checked()


def test_a_size_without_weights_says_what_is_missing(page, scene_png):
    upload(page, scene_png)
    pick(page, "10B")
    notice = page.locator("#model-notice")
    expect(notice).to_contain_text("google/paligemma2-10b-mix-224 is not on this machine")
    run(page)
    status = page.locator("#status")
    expect(status).to_contain_text("10b-mix-224 cannot run here; the note above “Run” says why.")
    # Which says it in full, and once on the page.
    expect(notice).to_be_visible()
    expect(page.get_by_text("is not on this machine")).to_have_count(1)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_every_control_has_a_name(page):
    page.get_by_role("button", name="Decoding").click()
    expect(page.get_by_label("Temperature").first).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
             ".gradio-container :is(button, input, textarea, select)")]
           .filter(node => node.offsetParent !== null && node.type !== "file")
           .filter(node => !(node.ariaLabel || node.title || node.innerText?.trim()
                             || node.labels?.length && node.labels[0].innerText.trim()
                             || node.getAttribute("aria-labelledby")))
           .map(node => node.outerHTML.slice(0, 160))"""
    )
    assert nameless == []


class TestPhone:
    @pytest.fixture
    def viewport(self) -> dict[str, int]:
        return {"width": 390, "height": 844}

    def test_nothing_sticks_out_and_the_answer_comes_into_view(self, page, scene_png):
        upload(page, scene_png)
        run(page)
        expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
        expect_answered(page)
        expect(page.get_by_label("Answer", exact=True)).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") == 390

    def test_the_bar_of_the_model_takes_two_lines_at_most(self, page):
        pick(page, "3B")
        pick(page, "pt")
        pick(page, "896 px")
        expect(page.locator("#settings")).to_contain_text("3b-pt-896")
        lines = [34, 8, 34]
        assert page.locator("#model-bar").bounding_box()["height"] <= sum(lines) + 4
        assert page.evaluate("document.documentElement.scrollWidth") == 390


class TestDark:
    @pytest.fixture
    def colour_scheme(self) -> str:
        return "dark"

    def test_the_page_follows_the_system(self, page):
        brightness = page.evaluate(
            """() => {
              const sum = (colour) => colour.match(/[0-9]+/g).slice(0, 3).map(Number)
                .reduce((a, b) => a + b);
              const style = getComputedStyle(document.querySelector(".gradio-container"));
              const body = getComputedStyle(document.body);
              return [sum(body.backgroundColor), sum(style.color)];
            }"""
        )
        background, text = brightness
        assert background < 120
        assert text > 600


def test_a_picture_over_the_limit_is_refused_in_words_that_stay(page, tmp_path, scene_png):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(21 * 2**20))
    page.locator("#picture input[type=file]").set_input_files(large)
    expect(page.get_by_role("alert")).to_have_text(
        "large.png is larger than 20 MB. Choose a smaller file, or save it as JPEG."
    )
    upload(page, scene_png)
    expect(page.locator(".too-large")).to_have_count(0)
