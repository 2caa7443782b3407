"""The page in a headless Chromium: pip install -r requirements-page.txt playwright axe-playwright-python."""

import io
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.chromium import CHROMIUM

pytest.importorskip("gradio", reason="the page needs Gradio")
playwright = pytest.importorskip("playwright.sync_api", reason="the page is tried with Playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core checks the contrast")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

WIDTHS = (390, 1280)
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def address(runs):
    command = [sys.executable, "-m", "examples", "serve", "--runs", str(runs), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.wait(timeout=60)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A visit to the page, with all that the console says and all hosts that are asked."""

    def __init__(self, browser, address, width=1280, **options):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page, self.console, self.hosts = self.context.new_page(), [], set()
        self.page.on("console", lambda line: line.type in ("error", "warning") and self.console.append(line.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.console.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.hosts.add(re.match(r"\w+:(//[^/]*)?", request.url)[0]))
        self.page.goto(address)
        self.page.locator(".about .sheet", has_text="Trained on").first.wait_for()

    def tab(self, name):
        tab = self.page.get_by_role("tab", name=name)
        if tab.count() and tab.first.is_visible():
            tab.first.click()
        else:  # a narrow screen has the others in a menu
            self.page.locator(".overflow-menu button").first.click()
            self.page.locator(".overflow-dropdown button", has_text=name).first.click()

    def press(self, name):
        self.page.get_by_role("button", name=name).locator("visible=true").first.click()

    def wait(self, selector):
        found = self.page.locator(selector).locator("visible=true").last
        found.wait_for(timeout=30_000)
        self.page.wait_for_function("!document.querySelector('.pending')")  # Gradio fades what is being renewed
        self.page.evaluate("""Promise.all(document.getAnimations()
            .filter(each => each instanceof CSSTransition).map(each => each.finished.catch(() => {})))""")
        return found

    def fill(self, label, text):
        self.page.get_by_label(label, exact=True).locator("visible=true").first.fill(text)


@pytest.fixture
def visit(browser, address):
    visit = Visit(browser, address)
    yield visit
    visit.context.close()


def use_every_tab(visit):
    """Yield after the use of each tab."""
    visit.page.get_by_label("Shade each character").check()
    visit.press("Continue the prompt")
    visit.wait(".sheet pre span")
    yield
    visit.tab("Images")
    visit.press("Generate")
    visit.wait("img[alt*='of seed 1']")
    visit.press("Another sixteen")
    visit.wait("img[alt*='of seed 2']")
    visit.press("Calculate")
    visit.wait("img[alt*='A - B + C']")
    visit.page.get_by_label("How far").locator("visible=true").last.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.wait("img[alt*='of the way']")
    yield
    visit.tab("Translation")
    visit.press("Translate")
    visit.wait(".attention img")
    visit.press("Score it")
    visit.page.get_by_text("(end)").wait_for()
    yield
    visit.tab("Captions")
    visit.press("Caption a drawn scene")
    visit.wait(".caption .photo")
    yield
    visit.tab("Word vectors")
    visit.press("Show its neighbours")
    visit.wait(".sheet svg")
    yield
    visit.tab("Learning curves")
    visit.press("Draw the curves")
    visit.wait("img[alt*='after each epoch']")
    yield


@pytest.mark.parametrize("width", WIDTHS)
def test_every_tab_works_without_a_word_on_the_console_or_to_another_host(browser, address, width):
    visit = Visit(browser, address, width)
    for _ in use_every_tab(visit):
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert visit.page.evaluate(overflow) <= 0
    assert visit.console == [] and visit.hosts <= {f"{address.rstrip('/')}", "data:", "blob:"}
    visit.context.close()


IS_OPAQUE = """() => [...document.querySelectorAll(".hint")].every(hint => {
    for (let node = hint; node; node = node.parentElement) if (getComputedStyle(node).opacity !== "1") return false;
    return true;
})"""
"""Whether no output fades in any more: Gradio shows a new one pale at first, which is no contrast to be judged."""


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "light"), (1280, "dark")])
def test_every_tab_passes_axe(browser, address, width, scheme):
    visit = Visit(browser, address, width, color_scheme=scheme)
    for _ in use_every_tab(visit):
        visit.page.wait_for_function(IS_OPAQUE)
        violations = axe.Axe().run(visit.page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    visit.context.close()


def test_pointing_at_a_word_lights_its_source_words_and_so_does_the_keyboard(visit):
    visit.tab("Translation")
    visit.press("Translate")
    visit.wait(".attention img")
    lit = """[...document.querySelectorAll(".attention span")].filter(
        each => getComputedStyle(each).backgroundColor != "rgba(0, 0, 0, 0)").length"""
    word = visit.page.locator(".attention button").first
    assert visit.page.evaluate(lit) == 0
    word.hover()
    assert visit.page.evaluate(lit) > 0
    visit.page.mouse.move(0, 0)
    word.focus()
    assert visit.page.evaluate(lit) > 0


def test_the_keyboard_alone_translates_a_sentence(visit):
    for button in ("Translation", "Translate"):
        for _ in range(20):
            visit.page.keyboard.press("Tab")
            if visit.page.evaluate("document.activeElement.textContent.trim()") == button:
                break
        visit.page.keyboard.press("Enter")
    visit.wait(".attention img")


def test_what_a_user_writes_appears_as_text(visit):
    visit.fill("Prompt", SCRIPT)
    visit.press("Continue the prompt")
    assert "not in the vocabulary" in visit.wait("[role=alert]").inner_text()
    visit.tab("Translation")
    visit.fill("Sentence", f"{SCRIPT} ${{1+1}}")
    visit.fill("Translation", SCRIPT)
    visit.press("Score it")
    assert "script" in visit.wait(".attention").inner_text()
    visit.tab("Word vectors")
    visit.fill("Word or character", SCRIPT)
    visit.press("Show its neighbours")
    assert SCRIPT in visit.wait("[role=alert]").inner_text()
    assert visit.console == []


def picture(size, form="PNG"):
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        ("<script>.png", b"\x89PNG broken", "not a picture that Pillow can read"),
        ("cut.png", picture((64, 64))[:50], "cut.png: damaged or cut off"),
        ("page.png", b"<html>", "page.png: it is an HTML or XML page, not a picture"),
        ("wide.png", picture((30_001, 1)), "wide.png: 30001 x 1 pixels, expected at most"),
        ("huge.png", b"0" * (11 << 20), "exceed the maximum allowed size"),
        ("fine.jpg", picture((64, 48), "JPEG"), "Captions by score"),
    ],
)
def test_a_file_gets_its_captions_or_one_clear_line(visit, name, content, answer):
    visit.tab("Captions")
    upload = visit.page.locator("input[type=file]").first
    upload.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    found = visit.page.get_by_text(answer).first
    found.wait_for(timeout=30_000)
    assert "\n" not in found.inner_text().strip() and "/tmp" not in found.inner_text()
