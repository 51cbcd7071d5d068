"""The page in a real browser: what a visitor does, and what is then on the screen. Screenshots are left in the test's folder."""

import os
import re
import shutil
import time

import numpy as np
import pytest

import ravine as rv
from ravine.core.registry import method_class
from ravine.lab.export import export
from ravine.lab.paths import offered
from ravine.problems import functions

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (set CHROMIUM to its path)")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STEPS = 30
TWO = "scene=ravine&m=gradient_descent~lr:0.05,adam~lr:0.2&focus=adam&n=50&k=50"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visit(browser, address, tmp_path):
    """Opens the page; at the end there must have been no error, and no request to anywhere else."""
    troubles, contexts = [], []

    def opened(link=TWO, width=1280, height=860, scheme="light", at=None):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: troubles.append(str(e)))
        page.on(
            "request", lambda r: troubles.append(r.url) if not r.url.startswith((f"http://{address}/", "data:", "file:")) else None
        )
        page.goto(at or f"http://{address}/#{link}")
        page.shoot = lambda name: page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def final(page, name):
    return page.locator(f"#final-{name}").text_content()


def settled(page, name="adam"):
    return until(lambda: final(page, name), f"a path of {name}")


def changed(page, name, before):
    return until(lambda: (now := final(page, name)) != before and now, f"another path of {name}")


def number(text):
    """The number at the start of what a card shows."""
    return float(re.match(r"[−\d.e]+", text)[0].replace("−", "-"))


def colours(page, selector):
    """How many different colours a canvas shows."""
    return page.locator(selector).evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )


def linked(page):
    return dict(p.split("=", 1) for p in page.evaluate("location.hash.slice(1)").split("&"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_and_draws(visit, scheme):
    page = visit(scheme=scheme)
    settled(page)
    for canvas in ("#map", "#surface", "#loss", "#slope"):
        until(lambda canvas=canvas: colours(page, canvas) > 20, f"a picture in {canvas}")
    assert page.title() == "ravine lab"
    page.shoot(scheme)


def test_a_click_sets_the_start_and_the_paths_are_the_librarys(visit):
    page = visit()
    before = settled(page)
    page.locator("#map").click(position={"x": 340, "y": 120})
    changed(page, "adam", before)
    x = until(lambda: linked(page).get("x"), "a start in the link")
    start = np.array([float(v) for v in x.split(",")])
    stop = rv.MaxSteps(50)
    known = functions.ravine(condition=25.0).fun
    for name, method in (("adam", rv.Adam(0.2)), ("gradient_descent", rv.GradientDescent(0.05))):
        expected = float(rv.minimize(known, start, method=method, stop=stop, history="f").history["f"][-1])
        np.testing.assert_allclose(number(final(page, name)), expected, rtol=0.01)
    page.shoot("clicked")


def test_the_keyboard_alone_reaches_start_methods_and_sliders(visit):
    page = visit()
    before = settled(page)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        at = page.evaluate("document.activeElement.id")
        seen.add(at)
        if at == "map":
            page.keyboard.press("d")
            page.keyboard.press("w")
            x = until(lambda: linked(page).get("x"), "a start in the link")
            np.testing.assert_allclose([float(v) for v in x.split(",")], [-1.8 + 0.08, 0.6 + 0.04], rtol=1e-5)
            before = changed(page, "adam", before)
        if at == "slider-adam-lr":
            page.keyboard.press("ArrowLeft")
            before = changed(page, "adam", before)
    assert seen >= {"scene", "knob-condition", "noise", "tune", "card-adam", "slider-adam-lr", "map", "play", "scrub", "surface"}
    page.locator("#card-gradient_descent").focus()
    page.keyboard.press("Enter")
    until(lambda: page.locator("#explain h2").text_content() == "GradientDescent", "the other method")


def test_methods_are_switched_on_and_off(visit):
    page = visit()
    settled(page)
    page.locator(".more summary").click()
    page.locator("#method-momentum").check()
    settled(page, "momentum")
    assert page.locator("#slider-momentum-beta").is_visible()
    page.locator("#method-adam").uncheck()
    until(lambda: not page.locator("#final-adam").count(), "Adam's end")
    until(lambda: "adam" not in linked(page)["m"] and "momentum~" in linked(page)["m"], "a link with momentum")
    page.shoot("methods")


def test_dragging_a_slider_redraws(visit):
    page = visit()
    before = settled(page)
    box = page.locator("#slider-adam-lr").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.8 * box["width"], y)
    page.mouse.down()
    for t in (0.7, 0.6, 0.5):
        page.mouse.move(box["x"] + t * box["width"], y)
    now = changed(page, "adam", before)
    page.mouse.up()
    until(lambda: 1e-4 < float(re.search(r"adam~lr:([\d.e-]+)", linked(page)["m"])[1]) < 0.1, "the step size in the link")
    page.locator("#card-gradient_descent").click()
    page.locator("#knob-condition").focus()
    page.keyboard.press("ArrowRight")
    changed(page, "adam", now)


def test_typing_a_function_and_a_bad_one(visit):
    page = visit()
    before = settled(page)
    page.locator("#scene").select_option("typed")
    formula = page.locator("#formula")
    formula.fill("(x - 1)^2 + 3(y + 0.5)^2")
    until(lambda: final(page, "adam") not in ("", before) and page.locator("#now").text_content() == "step 50", "a path")
    assert number(final(page, "gradient_descent")) < 0.1
    for text, words in (
        ("x^2 + yy", "column 7: unknown name 'yy'"),
        ("__import__('os').system('true')", 'column 12: "\'" is not understood'),
        ("(" * 100, "nested deeper"),
        ("", "type a formula"),
    ):
        formula.fill(text)
        until(lambda words=words: words in page.locator("#wrong").text_content(), words)
        assert formula.get_attribute("aria-invalid") == "true"
    formula.fill("x^2 + yy")
    until(lambda: "yy" in page.locator("#wrong").text_content(), "the error")
    page.shoot("wrong")
    formula.fill("x^2 + y^2 - x y")
    until(lambda: not page.locator("#wrong").text_content(), "no error")


def test_time_is_played_paused_stepped_and_scrubbed(visit):
    page = visit(TWO.replace("k=50", "k=0"))
    settled(page)
    now = page.locator("#now")
    until(lambda: now.text_content() == "step 0", "the first step")
    page.keyboard.press("ArrowRight")
    until(lambda: now.text_content() == "step 1", "a step")
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: now.text_content() == "step 11", "ten steps")
    page.locator("#back").click()
    until(lambda: now.text_content() == "step 10", "a step back")
    page.locator("#scrub").fill("33")
    until(lambda: now.text_content() == "step 33", "step 33")
    page.locator("#map").focus()
    page.keyboard.press("Home")
    until(lambda: now.text_content() == "step 0", "the start")
    page.locator("#speed").select_option("120")
    page.locator("#map").focus()
    page.keyboard.press("Space")
    until(lambda: "Pause" in page.locator("#play").text_content() or now.text_content() == "step 50", "playing")
    until(lambda: now.text_content() == "step 50" and "Play" in page.locator("#play").text_content(), "the end")


def test_hovering_tells_the_step_and_the_rule_has_its_numbers(visit):
    page = visit(TWO.replace("focus=adam", "focus=gradient_descent"))
    settled(page, "gradient_descent")
    shown = page.locator("#explain")
    until(lambda: shown.locator(".numbers").count(), "numbers in the rule")
    numbers = shown.locator(".numbers").text_content()
    assert "0.05" in numbers
    assert "α" not in numbers
    box = page.locator("#map").bounding_box()
    # The start of the run lies at (−1.8, 0.6) of the window (−2, 2) × (−1, 1), inside the margins of the axes.
    x = box["x"] + 40 + (0.2 / 4) * (box["width"] - 48)
    y = box["y"] + 8 + (0.4 / 2) * (box["height"] - 38)
    page.mouse.move(x, y)
    until(lambda: "step 0" in page.locator(".tip").text_content(), "the tip")
    until(lambda: "Step 1 of 50" in shown.text_content(), "the explanation of the first step")
    assert "(−1.8, 0.6)" in shown.text_content()
    page.shoot("hover")


@pytest.fixture(scope="module")
def everyone(browser, address):
    """The page with all methods on Rosenbrock's function."""
    page = browser.new_page(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    small = {"gradient_descent": 0.002, "sgd": 0.002, "momentum": 0.001, "nesterov": 0.001}  # so that nobody leaves
    chosen = ",".join(f"{n}~lr:{small[n]}" if n in small else n for n in offered(True))
    page.goto(f"http://{address}/#scene=rosenbrock&m={chosen}&n={STEPS}&k=0")
    settled(page, "adam")
    yield page
    page.close()


def numbers_of(page, name, k):
    """The lines of a method's rule, each with its line of numbers, "" where it has none."""
    page.locator(f"#card-{name}").click()
    page.locator("#scrub").fill(str(k))
    lines = """() => [...document.querySelectorAll("#explain .symbols")].map(e =>
        [e.textContent, e.nextElementSibling?.className === "numbers" ? e.nextElementSibling.textContent : ""])"""
    label, step = method_class(name).__name__, page.locator("#explain .step")
    until(
        lambda: page.locator("#explain h2").text_content() == label and step.count() and f"Step {k + 1} of" in step.text_content(),
        f"the rule of {name}",
    )
    return page.evaluate(lines)


# Of Muon's rule the part on matrices, of the dogleg's three cases the two that are not this step's.
WITHOUT_NUMBERS = {"muon": 5, "dogleg": 2}


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("name", offered(True))
def test_every_letter_of_every_rule_has_its_number(everyone, name, k):
    lines = numbers_of(everyone, name, k)
    assert sum(not numbers for _, numbers in lines) == WITHOUT_NUMBERS.get(name, 0), lines
    for _, numbers in lines:
        assert not re.search("[–∞]|NaN", numbers)
        # What is said to equal a number, numbers, the sum over a minibatch, and the unit matrix.
        rest = re.sub(r"f\(x \+ p\) ≈|‖D p‖ =|(?<!\w)[^\W\d][̀-ͯ]? = (?=[\d(\[−])|1/\|B\| Σ_\{i ∈ B\} ∇Lᵢ", "", numbers)
        rest = re.sub(r"\d[\d.]*(e−?\d+)?|(?<!\w)I(?!\w)", "", rest)
        assert not re.search(r"[α-ωΑ-ΡΤ-Ωϱ]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])", rest), numbers


@pytest.mark.parametrize("name", ["bfgs", "lbfgs"])
def test_the_matrix_of_a_quasi_newton_rule_gives_the_librarys_direction(everyone, name):
    numbers = numbers_of(everyone, name, 4)[0][1]
    p, H, g = (
        np.array([float(v) for v in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", text)])
        for text in re.match(r"(\(.*?\)) = -(\[.*?\]) (\(.*?\))", numbers.replace("−", "-")).groups()
    )
    np.testing.assert_allclose(-H.reshape(2, 2) @ g, p, atol=0.03 * np.abs(H.reshape(2, 2) * g).max())


def test_the_trust_regions_units_are_the_roots_of_the_first_hessians_diagonal(everyone):
    numbers = numbers_of(everyone, "trust_region", 0)[0][1].replace("−", "-")
    p, D, B = (
        np.array([float(v) for v in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", text)])
        for text in re.search(r"^(\(.*?\)) = arg min.*\|(\[.*?\]) .*B = (\[.*?\])", numbers).groups()
    )
    radius = float(re.search(r"≤ (\d[\d.]*)", numbers)[1])
    np.testing.assert_allclose(D[[0, 3]], np.sqrt(B[[0, 3]]), rtol=0.01)
    assert D[1] == D[2] == 0
    assert np.hypot(*(D[[0, 3]] * p)) <= 1.01 * radius


def test_overlays_are_drawn(visit):
    page = visit(TWO.replace("k=50", "k=3"))
    settled(page)
    data = "document.querySelector('#map').toDataURL()"
    before = page.evaluate(data)
    for name in ("gradient", "moments", "model"):
        page.locator(f"#show-{name}").check()
        before = until(lambda before=before: (now := page.evaluate(data)) != before and now, f"the overlay {name}")
    page.shoot("overlays")


def test_noise_makes_the_runs_differ(visit):
    page = visit()
    before = settled(page)
    page.locator("#noise").fill("9")
    noisy = changed(page, "adam", before)
    page.get_by_role("button", name="other minibatches").click()
    changed(page, "adam", noisy)
    assert until(lambda: linked(page).get("batch"), "the batch in the link") == "2"


def test_a_link_opens_the_same_scene(visit):
    link = "scene=ravine&knobs=condition:60&x=-1,0.5&m=gradient_descent~lr:0.02,adam~lr:0.1&focus=adam&n=50&k=20&show=gradient"
    first, second = visit(link), visit(link)
    values = [(settled(p), final(p, "gradient_descent"), p.locator("#now").text_content()) for p in (first, second)]
    assert values[0] == values[1]
    assert values[0][2] == "step 20"
    first.locator("#next").click()
    until(lambda: linked(first)["k"] == "21", "the step in the link")
    assert {k: v for k, v in linked(first).items() if k != "k"} == dict(p.split("=", 1) for p in link.split("&") if p[:2] != "k=")


def test_a_link_holds_the_network(visit):
    link = "tab=network&data=circles&width=8&batch=8&m=adam~lr:0.02~b1:0.8,sgd~lr:0.3&focus=sgd&seed=3&k=40&cut=random&cutseed=2"
    pages = [visit(link) for _ in range(2)]
    for page in pages:
        until(lambda page=page: "Two random directions" in page.locator(".side .note").text_content(), "the slice", 120)
    shown = [[p.locator(at).text_content() for at in ("#epoch", ".tiles", ".side .note")] for p in pages]
    assert shown[0] == shown[1]
    assert shown[0][0] == "step 40"
    page = pages[0]
    assert [page.locator(at).input_value() for at in ("#data", "#width", "#batch")] == ["circles", "8", "8"]
    page.locator("#copy").click()
    assert linked(page) == dict(p.split("=", 1) for p in link.split("&"))
    page.locator("#trainstep").click()
    until(lambda: linked(page)["k"] == "50", "the step in the link")
    page.locator("#data").select_option("xor")
    until(lambda: linked(page)["data"] == "xor" and "k" not in linked(page), "other data in the link")


def test_a_link_holds_the_linear_system(visit):
    link = "tab=linear&size=12&start=waves&m=jacobi,sor~weight:1.6&focus=sor&n=50&what=error&k=7"
    pages = [visit(link) for _ in range(2)]
    for page in pages:
        until(lambda page=page: page.locator("#linnow").text_content() == "step 7", "step 7", 120)
        until(lambda page=page: page.locator(".linear .tile").count() == 2, "two iterates")
    shown = [p.locator(".linear .tiles").text_content() for p in pages]
    assert shown[0] == shown[1]
    page = pages[0]
    assert [page.locator(at).input_value() for at in ("#size", "#linstart", "#linsteps", "#what")] == ["12", "waves", "50", "error"]
    page.locator("#copy").click()
    assert linked(page) == dict(p.split("=", 1) for p in link.split("&"))
    page.locator("#linscrub").fill("9")
    until(lambda: linked(page)["k"] == "9", "the step in the link")


@pytest.mark.parametrize(
    "link",
    [
        "tab=network&data=%00&width=x&batch=-1&m=__proto__,constructor~a:1,sgd~lr:0.3~nothing:3&focus=constructor&k=1e9&cut=on",
        "tab=linear&size=10000&start=&m=sor~weight:1.6~nothing:2,newton&n=3&focus=__proto__&k=-1",
        "tab=toString&scene=nowhere&m=adam~lr:0.1~nothing:1,constructor&focus=constructor&n=100&k=3",
    ],
)
def test_a_link_with_what_there_is_not_opens_with_what_there_is(visit, link):
    page = visit(link)
    picture = {"tab=n": ".network .tile", "tab=l": ".linear .tile"}.get(link[:5], "#final-adam")
    until(lambda: page.locator(picture).count() and page.locator(picture).first.text_content(), "a picture", 120)
    assert not [w for w in page.locator(".wrong").all_text_contents() if w]


@pytest.mark.parametrize(("width", "height"), [(390, 800), (760, 900), (1680, 1000)])
def test_it_fits_every_screen(visit, width, height):
    page = visit(width=1280)
    settled(page)
    page.set_viewport_size({"width": width, "height": height})
    until(lambda: colours(page, "#map") > 20, "a picture after resizing")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#map").bounding_box()["width"] > 0.3 * width
    page.shoot(f"{width}")


def test_light_and_dark_can_be_chosen(visit):
    page = visit()
    settled(page)
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.evaluate(paper) != before


def test_every_control_has_a_name(visit):
    page = visit()
    settled(page)
    nameless = page.evaluate(
        """[...document.querySelectorAll('input, select, button, canvas')].filter(e =>
            !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title)).map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_a_network_trains_and_its_landscape_is_cut(visit):
    page = visit("tab=network")
    step = page.locator("#epoch")
    until(lambda: page.locator(".tile").count() == 3, "three networks", 120)
    page.locator("#trainstep").click()
    until(lambda: step.text_content() == "step 10", "ten steps", 120)
    page.locator("#train").click()
    until(lambda: int(step.text_content().split()[1]) >= 60, "sixty steps", 120)
    page.locator("#train").click()
    page.locator("#slicepath").click()
    until(lambda: "% of their variance" in page.locator(".side .note").text_content(), "the plane through the path", 120)
    page.shoot("network")
    page.locator("#slicerandom").click()
    until(lambda: "Two random directions" in page.locator(".side .note").text_content(), "the random plane", 120)
    assert colours(page, "#slice") > 5


def test_linear_systems_smooth_an_image(visit):
    page = visit("tab=linear")
    until(lambda: page.locator(".linear .tile").count(), "iterates", 120)
    before = page.locator("#linnow").text_content()
    page.locator("#linscrub").fill("20")
    until(lambda: page.locator("#linnow").text_content() == "step 20" != before, "step 20")
    assert colours(page, ".linear .tile canvas >> nth=0") > 20
    page.locator("#what").select_option("error")
    page.shoot("linear")


def test_an_exported_page_stands_alone(visit, tmp_path):
    file = tmp_path / "scene.html"
    export(file, ("ravine",))
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?https?:|url\(https?:|@import""", text)
    page = visit(at=file.as_uri())
    page.context.set_offline(True)
    settled(page)
    until(lambda: colours(page, "#map") > 20, "the map")
    until(lambda: page.locator("#explain .numbers").count(), "numbers in the rule")
    page.locator("#card-adam").click()
    until(lambda: page.locator("#explain h2").text_content() == "Adam", "Adam's rule")
    until(lambda: page.locator("#explain .numbers").count() == 3, "Adam's numbers")
    assert page.locator("#slider-adam-lr").is_disabled()
    page.locator("#map").focus()
    page.keyboard.press("Home")
    until(lambda: page.locator("#now").text_content() == "step 0", "the start")
    page.shoot("exported")
