"""The three panels of the paper's Figure 2 as one picture, and the table that goes with it."""

from __future__ import annotations

import pathlib
from html import escape
from typing import Any

import numpy as np

from ravine.compare import svg
from ravine.core.files import write_whole
from ravine.reproduce.proxprop import Experiment

PANEL = (400, 300)
PANELS = (
    ("epoch", "epochs", "train_loss", "full-batch training loss", True),
    ("seconds", "seconds of training", "train_loss", "full-batch training loss", True),
    ("epoch", "epochs", "validation_accuracy", "validation accuracy", False),
)


def lines(experiment: Experiment, x: str, y: str) -> list[svg.Line]:
    """One line a run: the mean over the seeds, as far as all of them have come, and their range."""
    out = []
    for index, run in enumerate(experiment.runs):
        seeds = [rows for seed in range(experiment.seeds) if (rows := experiment.rows(run, seed))]
        if not seeds:
            continue
        n = min(map(len, seeds))
        xs, ys = (np.array([[row[name] for row in rows[:n]] for rows in seeds], float) for name in (x, y))
        if x == "seconds" and experiment.pace is not None:
            xs = experiment.pace[index] * np.arange(n, dtype=float)[None]
        out.append(svg.Line(name_of(run), index, xs.mean(0), ys.mean(0), ys.min(0), ys.max(0)))
    return out


def name_of(run: str) -> str:
    """A run's name in words."""
    solver, _, lr = run.partition("@")
    return ("BackProp" if solver == "backprop" else f"ProxProp ({solver})") + (f", step {lr}" if lr else "")


def figure(experiment: Experiment) -> str:
    """The picture, as an SVG that stands alone."""
    width, height = PANEL
    drawn = []
    for i, (x, x_label, y, y_label, log) in enumerate(PANELS):
        panel = svg.curves(
            lines(experiment, x, y), x_label=x_label, y_label=y_label, log_y=log, falling=log, width=width, height=height
        )
        place = f'x="{i * width}" y="0" width="{width}" height="{height}"'
        drawn.append(panel.replace("<svg ", f"<svg {place} ", 1))
    keys = []
    for i, line in enumerate(lines(experiment, "epoch", "train_loss")):
        at = 56 + i * 180
        keys.append(f'<g class="{svg.classes(line.index)}"><path class="curve" d="M{at} {height + 14}h24"/></g>')
        keys.append(f'<text x="{at + 30}" y="{height + 18}">{escape(line.name)}</text>')
    size = f'width="{3 * width}" height="{height + 30}" viewBox="0 0 {3 * width} {height + 30}"'
    paper = f'<rect width="{3 * width}" height="{height + 30}" fill="var(--paper)"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" {size} role="img" aria-label="ProxProp on CIFAR-10">'
    return f"{head}<style>{svg.STYLE}</style>{paper}{''.join(drawn)}{''.join(keys)}</svg>"


def table(experiment: Experiment) -> str:
    """The last epoch of each run, in Markdown; accuracies in per cent."""
    head = "| run | seed | epochs | batch loss | train loss | train acc. | validation acc. | best | test acc. | seconds |"
    out = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for run in experiment.runs:
        for seed in range(experiment.seeds):
            rows = experiment.rows(run, seed)
            if len(rows) > 1:
                out.append(_row(name_of(run), seed, rows))
    return "\n".join(out)


MEASURES = (("train_loss", 1, "{:.2g}"), *((f"{split}_accuracy", 100, "{:.1f}") for split in ("train", "validation", "test")))


def summary(experiment: Experiment) -> str:
    """The last epoch that all seeds of a run have reached, in Markdown: the mean over the seeds, and their range."""
    out = ["| run | seeds | epochs | train loss | train acc. | validation acc. | test acc. |", "|---|---|---|---|---|---|---|"]
    for run in experiment.runs:
        seeds = [rows for seed in range(experiment.seeds) if len(rows := experiment.rows(run, seed)) > 1]
        if not seeds:
            continue
        last = min(map(len, seeds)) - 1
        cells = []
        for name, scale, form in MEASURES:
            v = [scale * rows[last][name] for rows in seeds]
            spread = f" ({form.format(min(v))} to {form.format(max(v))})" if len(v) > 1 else ""
            cells.append(form.format(np.mean(v)) + spread)
        out.append(f"| {name_of(run)} | {len(seeds)} | {last} | {' | '.join(cells)} |")
    return "\n".join(out)


def _row(name: str, seed: int, rows: list[dict[str, Any]]) -> str:
    last, best = rows[-1], max(row["validation_accuracy"] for row in rows)
    batch = "diverged" if last["batch_loss"] is None else f"{last['batch_loss']:.4f}"
    losses = f"{batch} | {last['train_loss']:.4f}"
    shares = " | ".join(
        f"{100 * v:.1f}" for v in (last["train_accuracy"], last["validation_accuracy"], best, last["test_accuracy"])
    )
    return f"| {name} | {seed} | {last['epoch']} | {losses} | {shares} | {last['seconds']:.0f} |"


def write(experiment: Experiment) -> str:
    """Writes figure.svg, figure.html and table.md to the experiment's folder; returns the tables."""
    picture, text = figure(experiment), f"{table(experiment)}\n\n{summary(experiment)}"
    stem = pathlib.Path(experiment.folder) / "figure"
    write_whole(stem.with_suffix(".svg"), picture)
    write_whole(stem.parent / "table.md", text + "\n")
    page = f"<!doctype html><meta charset=utf-8><title>ProxProp on CIFAR-10</title>{picture}<pre>{escape(text)}</pre>"
    write_whole(stem.with_suffix(".html"), page)
    return text
