import functools
import html.parser
import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from ravine.compare import page, report
from tests.compare.conftest import HOSTILE, big, comparison, curve, entry

default = functools.cache(lambda: report.html(big()))


def inlined(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


class Page(html.parser.HTMLParser):
    """Tags as they are opened, and whether all are closed."""

    EMPTY = ("meta", "br", "path", "rect", "circle", "polyline", "polygon", "use")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_page_asks_nothing_of_the_network():
    page = default().replace("http://www.w3.org/2000/svg", "")
    assert "//" not in re.sub(r"(^|\s)//.*", "", page)
    assert "@import" not in page
    assert "url(" not in page
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert "default-src 'none'" in page


def test_script_is_the_one_that_the_policy_allows():
    import base64
    import hashlib

    page = default()
    script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in page


def test_page_is_small():
    assert len(default().encode()) <= 400_000


def test_page_is_well_formed():
    page = Page(default())
    assert page.open == []
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_page_can_be_read_without_javascript():
    page = default()
    page = page[: page.index('<script type="application/json"')]
    c = big()
    assert c.verdict.split(":")[1] in page
    assert all(page.count(e.name) > 3 for e in c.entries)
    assert page.count('class="curve"') >= 2 * len(c.entries)
    assert page.count('class="path"') == 2 * len(c.entries)


def test_inlined_data_are_the_comparison():
    c = big()
    data = inlined(default())
    assert [e["name"] for e in data["entries"]] == [e.name for e in c.entries]
    np.testing.assert_allclose(data["entries"][3]["curves"][1]["loss"], c.entries[3].curves[1].loss, rtol=1e-6)
    assert data["verdict"] == c.verdict
    assert "\\toprule" in data["latex"]


def test_hostile_names_are_only_text(hostile):
    text = report.html(hostile)
    page = Page(text)
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "<b>|x_1" not in text
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert inlined(text)["problem"] == HOSTILE


def test_json_cannot_end_its_element():
    text = page.for_script({"a": "</script><!-- \u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!-- \u2028"}


@pytest.mark.parametrize(
    "c",
    [
        comparison([entry("adam", [curve([1, np.nan])], grid=(), grid_loss=(), step_size=None)]),
        comparison([entry("adam", [curve([1, np.inf])]), entry("sgd", [curve([np.inf, np.nan])])], target=None),
        comparison([entry("adam", [curve([-1, -2.0])])], target=-1.5, kind="fun", work_unit="evaluations"),
        comparison([entry("adam", [curve([0.0, 0.0])])], target=0.0, command="", doc="", budget=""),
        comparison([entry("adam", [curve([3.0])], pace=0.0)], kind="residual", interrupted=True),
        comparison([entry("adam", [curve([1, 0.5], 0, [np.nan, np.nan])])]),
    ],
    ids=["one diverged", "no target, none finite", "negative values", "zeros", "one point", "no validation number"],
)
def test_odd_races_make_a_page(c):
    page = report.html(c)
    assert Page(page).open == []
    assert "NaN" not in page[: page.index("<script")]
    assert ">nan<" not in page
    assert ">inf<" not in page


def test_seeds_of_different_lengths_share_a_grid():
    a, b = curve([4, 2, 1], 0), curve([8, 6], 1, steps=20)
    x, middle, low, high = report.bundle([a, b], "iteration", "loss")
    np.testing.assert_array_equal(x, [0, 10, 20])
    np.testing.assert_array_equal(low, [4, 2, 1])
    np.testing.assert_array_equal(high, [8, 8, 6])
    np.testing.assert_array_equal(middle, [6, 5, 3.5])


def test_a_loss_that_is_not_finite_counts_as_infinite():
    runs = [curve([1, np.nan], 0), curve([1, 0.5], 1), curve([1, 0.4], 2)]
    _, middle, low, high = report.bundle(runs, "iteration", "loss")
    assert (low[1], middle[1], high[1]) == (0.4, 0.5, np.inf)


def test_many_seeds_are_shown_by_quantiles():
    runs = [curve([10.0 * s], s) for s in range(11)]
    _, middle, low, high = report.bundle(runs, "iteration", "loss")
    assert (low[0], middle[0], high[0]) == (20, 50, 80)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
    with playwright.sync_playwright() as p:
        running = p.chromium.launch(executable_path=chromium, args=flags.split())
        yield running
        running.close()


def test_page_works_in_a_browser(browser, tmp_path):
    file = pathlib.Path(tmp_path / "report.html")
    file.write_text(default(), "utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800}, accept_downloads=True)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    chart = page.locator('[data-chart="loss"] svg').first
    assert chart.locator(".curve").count() == 8
    page.locator('[data-legend="0"]').first.click()
    assert chart.locator(".curve").count() == 7
    page.locator('[data-legend="2"]').first.dblclick()
    assert chart.locator(".curve").count() == 1
    page.locator('[data-show="all"]').first.click()
    assert chart.locator(".curve").count() == 17
    page.locator('[data-axis="seconds"]').click()
    page.locator('[data-log=""]').click()
    assert "seconds" in chart.text_content()
    assert page.locator('[data-strip="seconds"]').is_visible()
    chart.hover(position={"x": 150, "y": 100})
    assert "method_0" in page.locator("#read").text_content()
    page.locator("th button").nth(1).click()
    assert page.locator("tbody tr td:nth-child(2)").first.text_content().startswith("method_0")
    with page.expect_download() as download:
        page.locator('[data-save="csv"]').click()
    rows = pathlib.Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 1 + 17 * 3 * 31
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert complaints == []
    assert [r for r in requests if not r.startswith(("file:", "blob:"))] == []


def test_hostile_names_run_nothing_in_a_browser(browser, tmp_path, hostile):
    file = pathlib.Path(tmp_path / "report.html")
    file.write_text(report.html(hostile), "utf-8")
    page = browser.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    page.locator('[data-chart="loss"] svg').first.hover()
    assert dialogs == []
    assert page.locator("h1").text_content() == HOSTILE
