"""How soon the lab's page answers: from a slider's input to the new picture, in headless Chromium, all methods at once.

python benchmarks/lab.py [--scene rosenbrock] [--inputs 60]
python benchmarks/lab.py --first    # from the command to the first paths of the page's own methods, seconds

Goal: median at most 50 ms. A picture is there when the frame that holds the answer has been drawn and the next one begins.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import jax
from playwright.sync_api import Browser, Playwright, sync_playwright
from timing import verdict

from ravine.cli import use_compilation_cache
from ravine.lab.paths import offered, sliders
from ravine.lab.scenes import SCENES
from ravine.lab.server import LOOPBACK, listen, prepared

GOAL = 50.0
# Dispatches inputs one after the other, each when the picture of the one before is on the screen.
MEASURE = """async ([id, inputs]) => {
  const bar = document.getElementById(id), frame = () => new Promise(requestAnimationFrame), times = [];
  for (let i = 0; i < inputs; i++) {
    for (let k = 0; k < 3; k++) await frame();
    bar.value = String(400 + (i * 37) % 200);
    const began = performance.now();
    bar.dispatchEvent(new Event("input", { bubbles: true }));
    const asked = Number(document.body.dataset.asked);
    while (Number(document.body.dataset.drawn) < asked) await frame();
    await frame();
    times.push(performance.now() - began);
  }
  return times;
}"""


def measure(scene: str, methods: tuple[str, ...], inputs: int) -> list[float]:
    """Milliseconds from each input to its picture."""
    bound, server = listen(), prepared(warm=False)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    rate = next(h.name for h in sliders("adam") if h.schedule)
    link = f"scene={scene}&m={','.join(methods)}&focus=adam&n=200&k=100"
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
        page.goto(f"http://{LOOPBACK}:{bound.getsockname()[1]}/#{link}")
        while not page.locator("#final-adam").text_content(timeout=120_000):
            time.sleep(0.1)
        page.evaluate(MEASURE, [f"slider-adam-{rate}", 5])
        times = page.evaluate(MEASURE, [f"slider-adam-{rate}", inputs])
        browser.close()
    server.should_exit = True
    thread.join(10)
    return times


def chromium(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
        args=["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
    )


def first_paths() -> None:
    """Seconds from `ravine lab` to the first paths, with an empty cache of compiled programs and with a full one."""
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as playwright:
        page = chromium(playwright).new_page(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
        for state in ("empty", "full"):
            began = time.perf_counter()
            command = [sys.executable, "-m", "ravine", "lab", "--no-browser"]
            environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONUNBUFFERED": "1"}
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
                assert server.stdout is not None
                address = next(word for line in server.stdout for word in line.split() if word.startswith("http"))
                page.goto(address)
                while not page.locator("[id^=final-]").last.text_content(timeout=120_000):
                    time.sleep(0.05)
                print(f"first paths, {state} cache: {time.perf_counter() - began:.1f} s", flush=True)
                page.goto("about:blank")
                server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="rosenbrock", choices=SCENES)
    parser.add_argument("--inputs", type=int, default=60)
    parser.add_argument("--first", action="store_true")
    given = parser.parse_args()
    if given.first:
        first_paths()
        return
    use_compilation_cache()  # as `ravine lab` does; compiling is no part of what is measured
    jax.config.update("jax_enable_x64", True)
    everything = offered(SCENES[given.scene].residual is not None)
    few = tuple(n for n in ("gradient_descent", "momentum", "adam", "bfgs", "levenberg_marquardt") if n in everything)
    print(f"{given.scene}, 200 steps, 1280×860, {given.inputs} inputs each; {os.cpu_count()} cores, no graphics card")
    print(f"{'methods':>24} {'median':>9} {'90 %':>9} {'largest':>9}   (ms, input to picture; goal: median ≤ {GOAL:g})")
    for methods in (few, everything):
        times = sorted(measure(given.scene, methods, given.inputs))
        words = f"{len(methods)} methods"
        median = statistics.median(times)
        print(
            f"{words:>24} {median:9.1f} {times[int(0.9 * len(times))]:9.1f} {times[-1]:9.1f}   {verdict(median, GOAL)}", flush=True
        )


if __name__ == "__main__":
    main()
