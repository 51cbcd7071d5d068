"""The Python in README.md and in docs/ runs as a user would run it: page by page, top to bottom, JAX as it comes.

Blocks marked `python` are programs; fragments are marked `py`.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if p.exists()]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_code_on_the_page_runs(page, tmp_path):
    blocks = BLOCK.findall(page.read_text("utf-8"))
    if not blocks:
        pytest.skip("no Python on this page")
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks), "utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "NONFINITE" not in done.stdout  # an example that diverges shows nothing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert link.startswith(("http://", "https://", "mailto:")) or (page.parent / link).exists(), link
