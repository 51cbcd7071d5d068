"""Commands keep compiled programs in a cache: here in a folder of the test's own."""

import jax
import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def mine(request, tmp_path):
    """A file of the user's, with the problems that the test's module has as `MINE`."""
    file = tmp_path / "mine.py"
    file.write_text(request.module.MINE)
    return str(file)
