"""The pages of the tiny studies in a real browser: what readers click works offline."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install -e .[browser]"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="needs Chromium: apt-get install chromium (Debian) or chromium-browser",
)

STUDY = "results/tiny"
SCENES = "results/tinyscenes"
FAMILIES = "tiny-vit/layer3"
WIDE, PHONE = 1400, 420
LEAST_CONTRAST = 4.5
"""That of small text in the Web Content Accessibility Guidelines 2.2, 1.4.3."""

CONTRASTS = """() => {
  // The lowest contrast of any text with what it stands on, and that text.
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const read = text => text.match(/[\\d.]+/g).map(Number);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const color = read(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let lowest = [Infinity, ""];
  const walker = document.createTreeWalker(document.querySelector("main"),
                                           NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.offsetParent) continue;
    if (node.closest("svg, script, style, :disabled, .disabled")) continue;
    const [a, b] = [light(read(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < lowest[0]) lowest = [contrast, walker.currentNode.textContent];
  }
  return lowest;
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Containers and root have no sandbox; the pages are our own.
        started = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield started
        started.close()


class Visit:
    """A page, with what went wrong on it: errors, dialogs, requests to elsewhere."""

    def __init__(self, browser, path: Path, width=WIDE, scheme="light"):
        self.faults: list[str] = []
        size = {"width": width, "height": 900}
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._see)
        self.page.on("requestfailed", self._miss)
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.set_default_timeout(10_000)
        self.page.goto(path.resolve().as_uri())

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _see(self, request):
        if urlparse(request.url).scheme not in ("file", "data", "blob"):
            self.faults.append(f"asked for {request.url}")

    def _miss(self, request):
        # Whoever leaves a page stops what it still loads.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.failure}: {request.url}")

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        self.page.close()
        if kind is None:
            assert not self.faults


def path_of(page) -> Path:
    return Path(unquote(urlparse(page.url).path))


def first_cells(page, table: str) -> list[str]:
    return page.locator(f"{table} tbody tr td:first-child").all_inner_texts()


def test_from_the_study_to_a_trait_to_its_prototypes_and_back(browser, finished):
    home = finished / STUDY / "index.html"
    with Visit(browser, home) as page:
        page.locator("nav.contents a", has_text="Trait by trait").click()
        assert page.url.endswith("#trait-by-trait")
        page.locator("details", has=page.locator("#traits")).locator("summary").click()
        search = page.locator("#traits_wrapper input[type=search]")
        shown = first_cells(page, "#traits")
        search.fill("bill")
        found = first_cells(page, "#traits")
        assert 0 < len(found) < len(shown)
        assert all("bill" in name for name in found)
        search.fill("")
        heads = page.locator("#traits thead th")
        heads.nth(1).click()
        playwright.expect(heads.nth(1)).to_have_attribute("aria-sort", "ascending")
        cells = page.locator("#traits tbody tr td:nth-child(2)").all_inner_texts()
        ap = [float(re.match(r"[\d.]+", cell)[0]) for cell in cells]
        assert ap == sorted(ap)
        heads.nth(1).click()
        playwright.expect(heads.nth(1)).to_have_attribute("aria-sort", "descending")
        cells = page.locator("#traits tbody tr td:nth-child(2)").all_inner_texts()
        assert [float(re.match(r"[\d.]+", cell)[0]) for cell in cells] == ap[::-1]
        page.locator("#traits tbody a").first.click()
        assert path_of(page).parent == home.parent / "traits"
        trait = path_of(page)
        page.get_by_role("link", name="The study").click()
        assert path_of(page) == home
        page.locator("h2#prototypes-and-their-images ~ ul a").first.click()
        assert path_of(page).parent.parent.name == "features"
        page.locator("a[href*='/traits/']").first.click()
        assert path_of(page).parent == trait.parent
        page.go_back()
        page.get_by_role("link", name="The study").click()
        assert path_of(page) == home


def test_the_list_of_traits_can_be_searched_and_sorted(browser, finished):
    with Visit(browser, finished / STUDY / "traits/index.html") as page:
        names = first_cells(page, "#traits")
        page.locator("input[type=search]").fill(names[3])
        assert names[3] in first_cells(page, "#traits")
        assert len(first_cells(page, "#traits")) < len(names)
        page.locator("input[type=search]").fill("")
        page.locator("#traits thead th").nth(2).click()
        shares = page.locator("#traits tbody tr td:nth-child(3)")
        order = [float(cell.get_attribute("data-order")) for cell in shares.all()]
        assert order == sorted(order)


def test_heat_maps_can_be_hidden(browser, finished):
    folder = finished / STUDY / "traits"
    pages = sorted(folder.glob("0*.html"))
    path = next(path for path in pages if 'class="heat"' in path.read_text())
    with Visit(browser, path) as page:
        heat = page.locator(".heat").first
        assert heat.is_visible()
        page.get_by_label("Hide the heat-maps").check()
        assert not heat.is_visible()
        page.get_by_label("Hide the heat-maps").uncheck()
        assert heat.is_visible()


def test_a_slider_shows_the_pictures_of_its_dose(browser, segmented):
    with Visit(browser, segmented / SCENES / "index.html") as page:
        section = page.locator(".shown").first
        slider = section.locator("input[type=range]")
        section.scroll_into_view_if_needed()
        shown = set()
        highest = int(slider.get_attribute("max"))
        for place in range(highest + 1):
            slider.fill(str(place))
            images = section.locator("img[data-dose]:visible")
            assert {i.get_attribute("data-dose") for i in images.all()} == {str(place)}
            texts = section.locator(".dose span:visible").all_inner_texts()
            assert len(texts) == 1
            shown.add(texts[0])
        assert len(shown) == highest + 1
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert slider.input_value() == str(highest - 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("kind", ["study", "traits", "trait", "prototypes", "scenes"])
def test_pages_can_be_read_on_any_screen(
    browser, finished, segmented, kind, width, scheme
):
    paths = {
        "study": finished / STUDY / "index.html",
        "traits": finished / STUDY / "traits/index.html",
        "trait": min((finished / STUDY / "traits").glob("0*.html")),
        "prototypes": next((finished / STUDY / FAMILIES).glob("*/features/*/*.html")),
        "scenes": segmented / SCENES / "index.html",
    }
    with Visit(browser, paths[kind], width, scheme) as page:
        page.evaluate(
            "document.querySelectorAll('details').forEach(one => { one.open = true; })"
        )
        contrast, text = page.evaluate(CONTRASTS)
        assert contrast >= LEAST_CONTRAST, text
        # Wide tables scroll inside the page; the page itself does not.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Keys reach the first link and mark it.
        page.evaluate("window.scrollTo(0, 0)")
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.tagName")
        assert focused in ("A", "INPUT", "DIV")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"


class Links(HTMLParser):
    """The title, links and ids of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.ids, self.title, self._in_title = [], [], "", False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self._in_title = tag == "title"
        if tag == "a":
            self.links.append(values["href"])
        if "id" in values:
            self.ids.append(values["id"])

    def handle_data(self, data):
        if self._in_title:
            self.title, self._in_title = data, False


@pytest.mark.parametrize(("study", "n_least"), [("finished", 300), ("segmented", 1)])
def test_every_link_leads_somewhere_and_every_picture_loads(
    browser, request, study, n_least
):
    folder = request.getfixturevalue(study)
    left, pages = [folder / {"finished": STUDY, "segmented": SCENES}[study]], {}
    left[0] /= "index.html"
    while left:
        path = left.pop()
        if path in pages:
            continue
        pages[path] = Links(path)
        for link in pages[path].links:
            address, anchor = urldefrag(urljoin(path.as_uri(), link))
            target = Path(unquote(urlparse(address).path))
            assert target.is_file(), f"{path}: {link}"
            if target == path and anchor:
                assert unquote(anchor) in pages[path].ids, f"{path}: {link}"
            elif target.suffix == ".html":
                left.append(target)
    titles = [page.title for page in pages.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles) >= n_least
    # All kinds of pages, and of the pages of traits every twentieth.
    few = [path for path in pages if path.parent.name != "traits"]
    of_traits = sorted(path for path in pages if path.parent.name == "traits")
    for path in (*few, *of_traits[::20], *of_traits[-1:]):
        with Visit(browser, path) as page:
            # Also those that load only when they come into sight.
            page.evaluate(
                "() => Promise.all([...document.images].map(image => {"
                "  image.loading = 'eager'; return image.decode(); }))"
            )
            assert page.locator("img:not([alt])").count() == 0
            n_svg = page.locator("svg").count()
            assert page.locator("[aria-label] svg").count() == n_svg
