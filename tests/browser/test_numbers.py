"""Numbers outside their range: said, in no other task's way, and brought by no link or history."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import expect_answered, pick, run, upload
from ui.examples import FOLDER

PICTURE = FOLDER / "caption.png"


def field(page: Page, name: str):
    return page.get_by_label(name, exact=True)


def test_one_that_is_typed_is_named_and_stops_no_other_task(page):
    upload(page, PICTURE)
    pick(page, "Caption a box")
    field(page, "Right %").fill("150")
    run(page)
    sentence = "Right % is 150. Use a number from 0 to 100."
    expect(page.locator("#status")).to_contain_text(sentence)
    expect(page.locator("#prompt textarea")).to_have_attribute("placeholder", sentence)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    assert field(page, "Right %").input_value() == "150"
    drawn, image = page.locator(".drawn"), page.locator("#picture .image-frame img")
    box, whole = drawn.bounding_box(), image.bounding_box()
    assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1
    pick(page, "Caption")
    expect(page.locator("#prompt textarea")).to_have_value("caption en")
    run(page)
    expect_answered(page)
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#picture img")).to_be_visible()
    pick(page, "Caption a box")
    expect(field(page, "Right %")).to_have_value("150")
    expect(page.locator("#prompt textarea")).to_have_attribute("placeholder", sentence)


def test_a_part_with_one_is_refused_in_words(page):
    upload(page, PICTURE)
    page.get_by_label("Mark a part").check()
    field(page, "Left %").fill("-5")
    page.get_by_role("button", name="Ask about this part only").click()
    expect(page.locator("#picture-note")).to_contain_text("Left % is -5. Use a number from 0 to 10")
    box = page.locator(".drawn").bounding_box()
    whole = page.locator("#picture .image-frame img").bounding_box()
    assert box["x"] >= whole["x"] - 1


@pytest.mark.parametrize(
    "query, prompt",
    [
        ("task=describe&tokens=-5&temperature=99&beams=1000&seed=1.5&top_k=2.5", "describe en"),
        ("task=detect&objects=cat&right=400&top_p=0", "detect cat"),
        ("task=caption+box&left=-50&right=400", "caption <loc0256><loc0256><loc0767><loc0767>"),
    ],
)
def test_a_link_brings_none(page, query, prompt):
    link = urlsplit(page.url)._replace(query=f"{query}&example=1").geturl()
    page.goto(link, wait_until="domcontentloaded")
    expect(page.locator("#prompt textarea")).to_have_value(prompt)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#settings .state")).to_be_visible()
    assert not page.locator("#settings").get_by_text("temperature").count()
    run(page)
    expect(page.locator("#status")).to_contain_text(re.compile("Done|token limit|found"))


def test_the_session_brings_none_to_a_slider_and_the_history_none(page):
    upload(page, PICTURE)
    run(page)
    expect_answered(page)
    page.get_by_role("button", name=re.compile("^History")).click()
    page.evaluate("""() => new Promise((resolve) => {
      const opening = indexedDB.open("paligemma-history", 1);
      opening.onsuccess = () => {
        const answers = opening.result.transaction("answers", "readwrite").objectStore("answers");
        answers.openCursor().onsuccess = ({ target: { result: cursor } }) => {
          const entry = cursor.value;
          entry.fields[7] = 400;
          entry.fields[16] = 99;
          cursor.update(entry).onsuccess = () => (opening.result.close(), resolve());
        };
      };
    })""")
    page.locator("#history-list button").click()
    expect(page.locator("#run")).to_be_enabled()
    run(page)
    expect_answered(page)
    page.evaluate("""() => {
      const fields = JSON.parse(sessionStorage.getItem("paligemma-fields"));
      fields[7] = 400;
      fields[16] = 99;
      sessionStorage.setItem("paligemma-fields", JSON.stringify(fields));
    }""")
    page.reload(wait_until="domcontentloaded")
    expect(page.locator("#picture img")).to_be_visible()
    run(page)
    expect_answered(page)
