"""The demo inside a page of another origin that has a strict policy and styles for everything."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.browser.conftest import WATCH_SHIFTS
from tests.browser.test_accessibility import violations
from tests.browser.visitor import example_of
from tests.serving import Served, free_port, serve
from ui.embedding import Embedding

MOST_SHIFT = 0.05  # of the page around, while the demo comes and answers
STYLES = """
* { letter-spacing: 3px !important; }
header { background: red !important; font-size: 40px !important; }
button { background: lime !important; border-radius: 0 !important; }
iframe { height: 10px !important; filter: invert(1); }
"""
# What the page around is told, and what its policy refused.
LISTEN = """
window.told = []; window.refused = []; window.results = [];
addEventListener("message", ({ data, origin }) => data?.paligemma && told.push([data, origin]));
addEventListener("paligemma-result", ({ detail }) => results.push(detail));
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
"""


@dataclass(frozen=True)
class Host:
    """A server of pages by what is in them; the same one has two origins."""

    port: int
    pages: dict[str, tuple[str, str]]

    @property
    def named(self) -> str:
        """The origin that the demo's owner names."""
        return f"http://localhost:{self.port}"

    @property
    def unnamed(self) -> str:
        """An origin that nobody names."""
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, body: str, demo: str) -> None:
        """Offer a page that allows scripts and frames of `demo` alone, and its own styles."""
        policy = f"default-src 'none'; script-src {demo}; frame-src {demo}; style-src 'self'"
        self.pages[path] = (policy, body)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Another site on this machine."""
    pages: dict[str, tuple[str, str]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_style = self.path == "/host.css"
            policy, body = ("", STYLES) if is_style else pages.get(self.path, ("", ""))
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", f"text/{'css' if is_style else 'html'}")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Host(server.server_port, pages)
    server.shutdown()
    server.server_close()


def page_with(element: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        "<title>Host</title><link rel=stylesheet href=/host.css>"
        f"<header>Mine</header><button>Mine</button>{element}<footer>Mine</footer>"
    )


@pytest.fixture(scope="module")
def named(served: Served, host: Host) -> Iterator[Served]:
    """The demo of an owner who names one of the host's origins."""
    with serve(served.backend, embedding=Embedding(origins=(host.named,))) as page:
        yield page


@pytest.fixture(scope="module")
def anywhere(served: Served, host: Host) -> Iterator[Served]:
    """The demo of an owner who lets all pages show it, and names one."""
    with serve(served.backend, embedding=Embedding((host.named,), anywhere=True)) as page:
        yield page


@pytest.fixture
def around(chromium: Browser, width: int) -> Iterator[Page]:
    """A window for the page around the demo; no script may fail in either."""
    context = chromium.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(60_000)
    context.add_init_script(LISTEN)
    context.add_init_script(WATCH_SHIFTS)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    context.close()
    assert failures == []


@pytest.fixture
def width() -> int:
    """Of the window."""
    return 1100


def framed(page: Page) -> FrameLocator:
    """The demo in a page, once it can be asked."""
    frame = page.frame_locator("paligemma-demo iframe, gradio-app iframe")
    expect(frame.locator("#settings .state")).to_be_visible()
    return frame


def expect_height_of_content(page: Page, more_than: float = 0, less_than: float = 1e9) -> float:
    """Wait until the frame is as high as what is in it and within bounds; that height."""
    frame = next(each for each in page.frames if "embed=1" in each.url)
    held = functools.partial(page.locator("paligemma-demo iframe").evaluate, "e => e.offsetHeight")
    content = "document.body.getBoundingClientRect().height"
    for _ in range(600):
        inner, outer = frame.evaluate(content), held()
        if abs(inner - outer) <= 1 and more_than < outer < less_than:
            return outer
        page.evaluate("() => new Promise(requestAnimationFrame)")
    raise AssertionError((inner, outer, more_than, less_than))


def styles_of(locator, *names: str) -> list[str]:
    return locator.evaluate("(e, names) => names.map((each) => getComputedStyle(e)[each])", names)


@pytest.mark.parametrize("width", [1100, 390])
def test_it_is_as_high_as_its_content_and_tells_a_named_page(around, named, host, width):
    index, objects = example_of("detect")
    asked = ", ".join(each.label for each in objects)
    attributes = f'data-task="detect" data-objects="{asked}" data-example="{index + 1}"'
    script = f'<script src="{named.url}/embed.js" {attributes}></script>'
    host.put("/result", page_with(script), named.url)
    around.goto(f"{host.named}/result")
    demo = framed(around)
    expect(demo.locator("#picture img")).to_be_visible()
    expect(demo.locator("#prompt textarea")).to_have_value(f"detect {asked.replace(', ', ' ; ')}")

    for hidden in (".masthead p", "#examples", "h2.section", "footer", "#compare-this"):
        expect(demo.locator(hidden).first).to_be_hidden()
    expect(demo.get_by_role("tab")).to_have_count(0)
    expect(demo.get_by_role("heading", level=1)).to_have_text("PaliGemma 2")
    button = demo.get_by_role("button", name="Run", exact=True)
    assert styles_of(button, "letterSpacing", "borderRadius") == ["normal", "8px"]
    assert styles_of(around.locator("body"), "marginTop", "backgroundColor", "fontFamily") == (
        ["8px", "rgba(0, 0, 0, 0)", '"Times New Roman"']
    )
    assert around.evaluate("document.styleSheets.length") == 1

    before = expect_height_of_content(around)
    button.click()
    expect(demo.locator("#boxes tbody tr")).to_have_count(len(objects))
    answered = expect_height_of_content(around, more_than=before)
    around.wait_for_function("results.length === 1")
    (result,) = around.evaluate("results")
    assert [each["label"] for each in result["detections"]] == [each.label for each in objects]
    assert {origin for _, origin in around.evaluate("told")} == {named.url}

    details = demo.get_by_role("button", name="Details: prompt, raw text and numbers")
    details.click()
    expanded = expect_height_of_content(around, more_than=answered)
    details.click()
    expect_height_of_content(around, less_than=expanded)
    assert around.evaluate("document.documentElement.scrollWidth <= innerWidth")
    demo.get_by_role("button", name="Full screen").click()
    close = demo.get_by_role("button", name="Close")
    # All of it is on the screen, though the frame is higher.
    expect(close).to_be_in_viewport(ratio=1)
    expect(demo.locator("dialog .stage")).to_be_in_viewport(ratio=0.99)
    close.click()
    assert around.evaluate("refused") == []
    assert around.evaluate("layoutShift") <= MOST_SHIFT
    inside = next(each for each in around.frames if "embed=1" in each.url)
    assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(inside) == []


def test_a_page_that_is_not_named_is_told_the_height_alone(around, anywhere, host):
    host.put(
        "/height",
        page_with(f'<script src="{anywhere.url}/embed.js" data-example="1"></script>'),
        anywhere.url,
    )
    around.goto(f"{host.unnamed}/height")
    demo = framed(around)
    expect(demo.locator("#picture img")).to_be_visible()
    demo.get_by_role("button", name="Run", exact=True).click()
    expect(demo.locator("#status")).to_contain_text("Done")
    inside = next(each for each in around.frames if "embed=1" in each.url)
    inside.evaluate('() => paligemma.tellResult([{ finish_reason: "eos", text: "a secret" }])')
    # Messages come in their order: a result would be there before this height.
    before = expect_height_of_content(around)
    demo.get_by_role("button", name="Details: prompt, raw text and numbers").click()
    expect_height_of_content(around, more_than=before)
    assert {data["paligemma"] for data, _ in around.evaluate("told")} <= {"height", "show"}
    assert around.evaluate("results") == []


def test_a_page_that_is_not_named_cannot_frame_it(around, served, host):
    host.put("/no", page_with(f'<script src="{served.url}/embed.js" data-task="ocr"></script>'),
             served.url)  # fmt: skip
    with around.expect_console_message(lambda said: "frame-ancestors 'self'" in said.text):
        around.goto(f"{host.named}/no")
    expect(around.frame_locator("paligemma-demo iframe").locator("#run")).to_have_count(0)


@pytest.mark.slow
def test_the_elements_have_attributes_that_may_change(around, anywhere, host):
    host.put(
        "/elements",
        page_with(
            f'<script type="module" src="{anywhere.url}/embed.js"></script>'
            f'<gradio-app src="{anywhere.url}" theme="dark" task="ocr" height="500"></gradio-app>'
        ),
        anywhere.url,
    )
    around.goto(f"{host.named}/elements")
    demo = framed(around)
    expect(demo.locator("#prompt textarea")).to_have_value("ocr")
    expect(demo.locator("body.dark")).to_be_visible()
    frame = around.locator("gradio-app iframe")
    around.wait_for_function("told.length > 0")
    assert frame.evaluate("e => e.offsetHeight") == 500
    around.evaluate(
        """() => {
          const element = document.querySelector("gradio-app");
          element.setAttribute("task", "answer");
          element.setAttribute("question", "how many cats are there?");
        }"""
    )
    expect(demo.locator("#prompt textarea")).to_have_value("answer en how many cats are there?")
    # What says that it is the demo and is not, is not heard.
    around.evaluate('() => window.postMessage({ paligemma: "result", result: {} }, "*")')
    around.wait_for_function('told.some(([data]) => data.paligemma === "result")')
    assert around.evaluate("results") == []


def test_an_address_that_is_none_of_a_page_is_refused(chromium, served, host):
    host.put("/bad", page_with(f'<script src="{served.url}/embed.js"></script>'), served.url)
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{host.unnamed}/bad")
        with page.expect_event("pageerror") as caught:
            page.evaluate(
                """() => {
                  const demo = document.createElement("paligemma-demo");
                  demo.setAttribute("src", "javascript:alert(1)");
                  document.body.append(demo);
                }"""
            )
        assert "javascript:alert(1) is no address of a demo" in str(caught.value)
        assert page.locator("paligemma-demo iframe").get_attribute("src") is None
