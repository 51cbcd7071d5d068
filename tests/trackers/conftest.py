"""Trackers that remember what they were told."""

import sys
import types

import pytest


class Recorder:
    """A tracker that keeps every call; `fails` names the methods that raise."""

    def __init__(self, *fails):
        self.calls, self.fails = [], fails

    def _told(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name in self.fails:
            raise RuntimeError(f"{name} is broken")

    def start(self, name, config):
        self._told("start", name, config)

    def log(self, metrics, step):
        self._told("log", metrics, step)

    def artifact(self, path, name):
        self._told("artifact", path, name)

    def finish(self, summary):
        self._told("finish", summary)

    def rows(self):
        return [(step, metrics) for name, metrics, step in (c for c in self.calls if c[0] == "log")]

    @property
    def summary(self):
        (ended,) = [c[1] for c in self.calls if c[0] == "finish"]
        return ended


@pytest.fixture
def package(monkeypatch):
    """Puts a module with these attributes in the place of a package, `package("wandb", init=…)`; without any, takes it away."""

    def put(name, **attributes):
        module = types.ModuleType(name) if attributes else None
        for attribute, value in attributes.items():
            setattr(module, attribute, value)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return put
