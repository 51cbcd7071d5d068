// The playground: a function, a start, methods with their sliders; map, surface, curves and the rule at one step.
import { pen, type Pen } from "./colours";
import { Curves, type Curve } from "./curves";
import { h, short, slider, swatch } from "./dom";
import { explain } from "./explain";
import type { Answer, Link, Recorded } from "./link";
import { ContourMap, type View } from "./map";
import { Heights } from "./scale";
import { Surface } from "./surface";
import type { Field, Meta, MethodInfo, Run, Runs, SceneInfo, State, Values } from "./types";
import { known } from "./url";

const FIRST = ["gradient_descent", "momentum", "adam", "bfgs", "newton", "levenberg_marquardt"];
const OVERLAYS: [string, string, string][] = [
  ["gradient", "−g", "the direction of steepest descent"],
  ["velocity", "velocity", "what momentum carries on"],
  ["moments", "m̂ and √v̂", "Adam's means: direction, and the scale of each coordinate"],
  ["model", "quadratic model", "f + gᵀp + ½pᵀHp around the ball; JᵀJ for methods of least squares"],
  ["region", "λ and trust region", "how far the model is trusted"],
];
const TYPED: SceneInfo = {
  name: "typed", title: "Your own formula", formula: "", why: "f(x, y), or residuals with commas between them: 10(y − x²), 1 − x",
  window: [-3, 3, -3, 3], start: [-2, 2], knobs: [], axes: ["x", "y"], examples: 0, methods: [],
};

export class Playground {
  readonly root: HTMLElement;
  private scenes: SceneInfo[];
  private methods: Map<string, MethodInfo>;
  private field: Field | null = null;
  private heights: Heights | null = null;
  private runs: Runs | null = null;
  private readonly fixed: boolean;
  private seq = 0;
  private step = 0;
  private playing = false;
  private speed = 12;
  private clock = 0;
  private dirty = true;
  private tuneNext = false;
  private answered = false;
  private begun = false;
  private pens: Record<string, Pen> = {};
  private order: string[];
  private map!: ContourMap;
  private surface!: Surface;
  private loss!: Curves;
  private slope!: Curves;
  private at: Record<string, any> = {};

  constructor(private meta: Meta, private link: Link, private s: State, private changed: () => void, private recorded: Recorded | null) {
    this.fixed = !!recorded;
    this.scenes = this.fixed ? meta.scenes : [...meta.scenes, { ...TYPED, methods: meta.methods.map((m) => m.name) }];
    this.methods = new Map(meta.methods.map((m) => [m.name, m]));
    this.order = meta.methods.map((m) => m.name);
    s.methods = known(s.methods, this.methods);
    this.root = this.build();
    link.on("paths", (a) => this.takePaths(a));
    link.on("field", (a) => this.takeField(a));
    link.on("tune", (a) => this.takeTune(a));
    // Not the whole page: the rule beneath the map changes its height at every step.
    const resized = new ResizeObserver(() => this.touch());
    for (const name of ["map", "surface", "loss", "slope"]) resized.observe(this.at[`${name}Canvas`]);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.touch());
    requestAnimationFrame((t) => this.frame(t));
  }

  show(): void {
    if (!this.begun) {
      this.begun = true;
      const { s } = this, linked = Object.keys(s.methods).length > 0;
      this.open(this.scenes.find((x) => x.name === s.scene) ?? this.scenes[0], !linked, !linked);
      if (s.at !== null) {
        this.step = s.at;
        this.answered = true;
      }
    }
    this.touch();
  }

  private get scene(): SceneInfo {
    return this.scenes.find((x) => x.name === this.s.scene)!;
  }

  // ------------------------------------------------------------------ page
  private build(): HTMLElement {
    const at = this.at;
    at.scene = h("select", { id: "scene", onchange: () => this.open(this.scenes.find((x) => x.name === at.scene.value)!, false, true) },
      ...this.scenes.map((s) => h("option", { value: s.name }, s.title)));
    at.formula = h("input", {
      type: "text", id: "formula", spellcheck: "false", autocomplete: "off", maxlength: 600, placeholder: "(1 − x)² + 100(y − x²)²",
      title: `x, y, numbers, + − * / ^ and ${this.meta.functions.join(", ")}`, oninput: () => this.typing(),
    });
    at.wrong = h("div", { class: "wrong", role: "alert", id: "wrong" });
    at.formulaRow = h("div", { class: "formula" }, h("label", { for: "formula" }, "f(x, y) ="), at.formula, at.wrong);
    at.shown = h("div", { class: "shown" });
    at.why = h("p", { class: "why" });
    at.knobs = h("div");
    at.cards = h("div", { class: "cards", id: "methods" });
    at.more = h("details", { class: "more" }, h("summary", {}, "Add or remove methods"));
    at.noise = h("div");
    at.tune = h("button", { id: "tune", title: "each method's best step size of a grid, kept if it never climbs above the start", onclick: () => this.tune() }, "Best step sizes");
    at.mapCanvas = h("canvas", { id: "map", tabindex: 0, "aria-label": "Contour map. Click to set the start, or move it by w, a, s and d; arrow keys step through the run." });
    at.tip = h("div", { class: "tip", hidden: true });
    at.surfaceCanvas = h("canvas", { id: "surface", tabindex: 0, "aria-label": "Surface. Drag or use the arrow keys to turn it, + and − to zoom." });
    at.lossCanvas = h("canvas", { id: "loss", "aria-label": "Value of each method over the steps" });
    at.slopeCanvas = h("canvas", { id: "slope", "aria-label": "Norm of the gradient over the steps" });
    at.scrub = h("input", { type: "range", id: "scrub", min: 0, max: 1, value: 0, step: 1, "aria-label": "step", oninput: () => this.seek(Number(at.scrub.value)) });
    at.now = h("output", { id: "now", for: "scrub" });
    at.play = h("button", { id: "play", title: "play or pause (space)", onclick: () => this.toggle() }, "▶ Play");
    at.speed = h("select", { id: "speed", "aria-label": "steps a second", onchange: () => (this.speed = Number(at.speed.value)) },
      ...[3, 12, 40, 120].map((v) => h("option", { value: v, selected: v === 12 }, `${v}/s`)));
    at.steps = h("select", { id: "steps", "aria-label": "number of steps", onchange: () => { this.s.steps = Number(at.steps.value); this.ask(); } },
      ...[20, 50, 100, 200, 500, 1000].map((v) => h("option", { value: v }, `${v} steps`)));
    at.explain = h("div", { class: "explain", id: "explain", "aria-live": "off" });
    at.overlays = h("div", { class: "overlays", role: "group", "aria-label": "Draw at the ball" });
    for (const [name, text, title] of OVERLAYS) {
      const box = h("input", { type: "checkbox", id: `show-${name}`, checked: this.s.overlays.includes(name), onchange: () => {
        this.s.overlays = OVERLAYS.map((o) => o[0]).filter((o) => (this.at[`show-${o}`] as HTMLInputElement).checked);
        this.touch();
      } });
      at[`show-${name}`] = box;
      at.overlays.append(h("label", { title }, box, text));
    }
    const button = (id: string, text: string, title: string, go: () => void) => h("button", { id, title, "aria-label": title, onclick: go }, text);
    const transport = h("div", { class: "transport" },
      button("back", "‹", "a step back (←)", () => this.seek(Math.ceil(this.step) - 1)),
      at.play,
      button("next", "›", "a step on (→)", () => this.seek(Math.floor(this.step) + 1)),
      at.scrub, at.now);
    at.overlays.append(h("span", { class: "grow" }), at.steps, at.speed);
    this.map = new ContourMap(at.mapCanvas);
    this.surface = new Surface(at.surfaceCanvas, () => this.touch());
    this.loss = new Curves(at.lossCanvas, "f − lowest", (k) => this.seek(k), () => this.touch());
    this.slope = new Curves(at.slopeCanvas, "|∇f|", (k) => this.seek(k), () => this.touch());
    this.listen();
    this.noiseRow();
    return h("main", { class: "playground" },
      h("section", { class: "controls", "aria-label": "Function and methods" },
        h("div", { class: "group" }, h("label", { for: "scene", class: "head" }, "Function"), at.scene, at.formulaRow, at.shown, at.why, at.knobs, at.noise),
        h("div", { class: "group" }, h("div", { class: "head row" }, "Methods", at.tune), at.cards, at.more)),
      h("section", { class: "stage", "aria-label": "Map" },
        h("div", { class: "mapbox" }, at.mapCanvas, at.tip), transport, at.overlays, at.explain),
      h("section", { class: "side", "aria-label": "Surface and curves" }, at.surfaceCanvas, at.lossCanvas, at.slopeCanvas));
  }

  private noiseRow(): void {
    const range = { low: 0, high: 10, log: false }, words = h("output", { class: "words" });
    const say = () => {
      const n = this.scene?.examples;
      words.textContent = !this.s.batch ? "no noise" : n ? `batches of ${Math.min(this.s.batch, n)} of ${n}` : `batch of ${this.s.batch}`;
    };
    // To the right there is more noise: batch 512 … 1.
    const bar = h("input", { type: "range", id: "noise", min: range.low, max: range.high, step: 1, value: 0, "aria-label": "noise of the gradient",
      title: "the gradient's noise, as a minibatch of that size would have it: further right, smaller batches",
      oninput: () => { this.s.batch = Number(bar.value) ? 2 ** (10 - Number(bar.value)) : 0; say(); this.ask(); } });
    const again = h("button", { title: "other minibatches", "aria-label": "other minibatches", onclick: () => { this.s.seed++; this.ask(); } }, "⟳");
    this.at.noise.append(h("div", { class: "slider noise" }, h("label", { for: "noise" }, "noise"), bar, words, again));
    this.at.sayNoise = () => {
      bar.value = String(this.s.batch ? 10 - Math.log2(this.s.batch) : 0);
      say();
    };
  }

  private listen(): void {
    const canvas = this.at.mapCanvas as HTMLCanvasElement;
    let down = false;
    const start = (e: PointerEvent) => {
      if (!this.field || this.fixed) return;
      const [x, y] = this.map.point(this.field, e.offsetX, e.offsetY), [left, right, low, high] = this.field.window;
      this.s.x0 = [Math.min(right, Math.max(left, x)), Math.min(high, Math.max(low, y))];
      this.ask();
    };
    canvas.addEventListener("pointerdown", (e) => {
      down = true;
      canvas.setPointerCapture(e.pointerId);
      start(e);
    });
    canvas.addEventListener("keydown", (e) => {
      const by = { w: [0, 1], a: [-1, 0], s: [0, -1], d: [1, 0] }[e.key];
      if (!by || !this.field || this.fixed || e.ctrlKey || e.metaKey || e.altKey) return;
      const [left, right, low, high] = this.field.window, [x, y] = this.s.x0 ?? this.scene.start, part = 0.02;
      this.s.x0 = [Math.min(right, Math.max(left, x + part * by[0] * (right - left))), Math.min(high, Math.max(low, y + part * by[1] * (high - low)))];
      this.ask();
    });
    canvas.addEventListener("pointerup", () => (down = false));
    canvas.addEventListener("pointercancel", () => (down = false));
    canvas.addEventListener("pointermove", (e) => {
      if (down) return start(e);
      const view = this.view(), near = this.map.nearest(view, e.offsetX, e.offsetY);
      this.map.hovered = near;
      const tip = this.at.tip as HTMLElement, words = this.map.words(view, e.offsetX, e.offsetY);
      tip.hidden = !words && !near;
      tip.textContent = near ? `${this.label(near.run.name)}, step ${near.k}: f = ${short(near.run.f[near.k])}` : words;
      tip.style.left = `${Math.min(e.offsetX + 14, canvas.clientWidth - 190)}px`;
      tip.style.top = `${e.offsetY + 16}px`;
      if (near && near.run.name !== this.s.focus) this.focus(near.run.name);
      this.touch();
    });
    canvas.addEventListener("pointerleave", () => {
      this.map.hovered = null;
      this.at.tip.hidden = true;
      this.touch();
    });
    document.addEventListener("keydown", (e) => {
      const target = e.target as HTMLElement;
      if (this.s.tab !== "playground" || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
      const by = e.shiftKey ? 10 : 1;
      if (e.key === " " && target.tagName !== "BUTTON" && target.tagName !== "SUMMARY") this.toggle();
      else if (e.key === "ArrowRight") this.seek(Math.floor(this.step) + by);
      else if (e.key === "ArrowLeft") this.seek(Math.ceil(this.step) - by);
      else if (e.key === "Home") this.seek(0);
      else if (e.key === "End") this.seek(Infinity);
      else if (/^[1-9]$/.test(e.key)) {
        const name = Object.keys(this.s.methods)[Number(e.key) - 1];
        if (name) this.focus(name);
      } else return;
      e.preventDefault();
    });
  }

  // ------------------------------------------------------------------ what is shown
  private open(scene: SceneInfo, first: boolean, tune: boolean): void {
    this.s.scene = scene.name;
    this.at.scene.value = scene.name;
    if (!first && this.field) {
      this.s.x0 = null;
      this.s.knobs = {};
    }
    this.s.knobs = Object.fromEntries(Object.entries(this.s.knobs).filter(([name]) => scene.knobs.some((k) => k.name === name)));
    const kept = this.recorded?.settings[scene.name];
    if (kept) {
      this.s.methods = structuredClone(kept.methods);
      this.s.steps = kept.steps;
      this.s.x0 = kept.x0;
    }
    for (const name of Object.keys(this.s.methods)) if (!scene.methods.includes(name)) delete this.s.methods[name];
    if (!Object.keys(this.s.methods).length) {
      for (const name of FIRST) if (scene.methods.includes(name)) this.s.methods[name] = {};
    } else if (tune) {
      const fits = scene.methods.includes("levenberg_marquardt") && this.methods.has("levenberg_marquardt");
      if (fits && FIRST.every((n) => n in this.s.methods || !this.methods.has(n) || n === "levenberg_marquardt")) this.s.methods.levenberg_marquardt ??= {};
    }
    if (!Object.hasOwn(this.s.methods, this.s.focus)) this.s.focus = Object.keys(this.s.methods)[0];
    this.at.formulaRow.hidden = scene.name !== "typed";
    this.at.formula.value = this.s.formula;
    this.at.shown.textContent = scene.formula ? `f = ${scene.formula}` : "";
    this.at.why.textContent = scene.why;
    const steps = this.at.steps;
    // A link may ask for a number that the menu does not have.
    if (![...steps.options].some((o) => Number(o.value) === this.s.steps)) steps.append(h("option", { value: this.s.steps }, `${this.s.steps} steps`));
    steps.value = String(this.s.steps);
    this.at.sayNoise();
    this.at.knobs.replaceChildren(...scene.knobs.map((k) => slider(`knob-${k.name}`, k.doc, k.doc, k, this.s.knobs[k.name] ?? k.default, (v) => {
      this.s.knobs[k.name] = Math.min(k.high, Math.max(k.low, v));
      this.askField();
      this.ask();
    }).row));
    this.field = this.runs = null;
    this.answered = false;
    this.tuneNext = tune && !this.fixed;
    if (this.fixed) for (const e of this.root.querySelectorAll<HTMLInputElement>("#tune, #steps, .noise input, .noise button, [id^=knob] , .more input")) e.disabled = true;
    this.cards();
    if (scene.name === "typed") {
      if (!this.s.formula) this.s.formula = this.at.formula.value = "sin(2x) cos(2y) + (x² + y²)/5";
      this.typed();
    } else {
      this.wrong("", null);
      this.askField();
      this.begin();
    }
  }

  /** The first request of a scene: good step sizes where none are given, then the paths. */
  private begin(): void {
    if (this.tuneNext) this.tune();
    else this.ask();
  }

  private pause = 0;

  /** A new formula compiles, so a moment's rest is waited for. */
  private typing(): void {
    clearTimeout(this.pause);
    this.pause = window.setTimeout(() => this.typed(), 250);
  }

  private typed(): void {
    const text = this.at.formula.value.slice(0, 600);
    this.s.formula = text;
    this.wrong("", null);
    this.askField();
    this.begin();
  }

  private wrong(message: string, column: number | null): void {
    this.at.wrong.replaceChildren();
    this.at.formula.setAttribute("aria-invalid", String(!!message));
    if (!message) return;
    if (column === null) this.at.wrong.textContent = message;
    else {
      const text = this.s.formula, at = Math.min(column - 1, text.length);
      this.at.wrong.append(h("code", {}, text.slice(Math.max(0, at - 24), at), h("mark", {}, text[at] ?? "␣"), text.slice(at + 1, at + 25)),
        h("div", {}, `column ${column}: ${message}`));
    }
    this.touch();
  }

  trouble(op: string, message: string, column: number | null): void {
    if (this.s.scene === "typed" && (op === "field" || op === "paths" || op === "tune")) this.wrong(message, column);
    else if (op) this.wrong(message, null);
    this.at.formulaRow.hidden = this.s.scene !== "typed" && !message;
  }

  private label(name: string): string {
    return this.methods.get(name)?.label ?? name;
  }

  private focus(name: string): void {
    this.s.focus = name;
    this.cards();
    this.ask();
  }

  private cards(): void {
    const chosen = Object.keys(this.s.methods).sort((a, b) => this.order.indexOf(a) - this.order.indexOf(b));
    this.pens = {};
    chosen.forEach((name) => (this.pens[name] = this.penOf(name)));
    this.at.finals = {};
    this.at.cards.replaceChildren(...chosen.map((name) => this.card(name)));
    const families = new Map<string, string[]>();
    for (const name of this.scene.methods) {
      const family = this.methods.get(name)!.family;
      families.set(family, [...(families.get(family) ?? []), name]);
    }
    const open = this.at.more.open;
    this.at.more.replaceChildren(h("summary", {}, "Add or remove methods"), ...[...families].map(([family, names]) =>
      h("fieldset", {}, h("legend", {}, family), ...names.map((name) =>
        h("label", { title: this.methods.get(name)!.about }, h("input", {
          type: "checkbox", id: `method-${name}`, checked: name in this.s.methods, disabled: this.fixed,
          onchange: (e: Event) => this.toggleMethod(name, (e.target as HTMLInputElement).checked),
        }), this.label(name))))));
    this.at.more.open = open;
    this.touch();
  }

  private slots = new Map<string, number>();

  /** Colours stay with a method while it is on the page. */
  private penOf(name: string): Pen {
    for (const gone of [...this.slots.keys()]) if (!(gone in this.s.methods)) this.slots.delete(gone);
    if (!this.slots.has(name)) {
      const used = new Set(this.slots.values());
      let i = 0;
      while (used.has(i)) i++;
      this.slots.set(name, i);
    }
    return pen(this.slots.get(name)!);
  }

  private card(name: string): HTMLElement {
    const info = this.methods.get(name)!, open = name === this.s.focus, p = this.pens[name];
    const final = h("output", { class: "final", id: `final-${name}` });
    this.at.finals[name] = final;
    const head = h("button", { class: "cardhead", "aria-expanded": String(open), id: `card-${name}`, title: info.about, onclick: () => this.focus(name) }, swatch(p), h("span", { class: "name" }, info.label), final);
    const off = h("button", { class: "off", title: `take ${info.label} off`, "aria-label": `take ${info.label} off`, disabled: this.fixed, onclick: () => this.toggleMethod(name, false) }, "×");
    const body = h("div", { class: "cardbody" });
    if (open) {
      for (const s of info.sliders) {
        const text = s.symbol || s.name.split(".").pop()!, id = `slider-${name}-${s.name}`;
        const one = slider(id, text, `${s.name}: ${s.doc}`, s, this.s.methods[name][s.name] ?? s.default, (v) => {
          this.s.methods[name][s.name] = v;
          this.ask();
        });
        if (this.fixed) one.row.querySelectorAll("input").forEach((i) => (i.disabled = true));
        body.append(one.row);
      }
      if (!info.sliders.length) body.append(h("p", { class: "note" }, "nothing to set"));
    }
    return h("div", { class: `card${open ? " open" : ""}` }, h("div", { class: "cardrow" }, head, off), body);
  }

  private toggleMethod(name: string, on: boolean): void {
    if (on) this.s.methods[name] = {};
    else if (Object.keys(this.s.methods).length > 1) delete this.s.methods[name];
    if (on) {
      this.s.focus = name;
      const info = this.methods.get(name)!;
      if (info.sliders.some((s) => s.step_size)) this.tuneOnly = name;
    } else if (this.s.focus === name) this.s.focus = Object.keys(this.s.methods)[0];
    this.cards();
    if (this.tuneOnly) this.tune();
    else this.ask();
  }

  private tuneOnly = "";

  // ------------------------------------------------------------------ asking and taking
  private request(op: string): Record<string, unknown> & { op: string } {
    const s = this.s;
    return { op, scene: s.scene, formula: s.formula, knobs: s.knobs, x0: s.x0 ?? this.scene.start, methods: s.methods, focus: s.focus, steps: s.steps, batch: s.batch, seed: s.seed };
  }

  private ask(): void {
    // Tests and benchmarks read what was asked for last and what is on the screen.
    document.body.dataset.asked = String(this.link.ask(this.request("paths")));
    this.changed();
  }

  private askField(): void {
    this.link.ask({ ...this.request("field"), window: this.scene.window, n: 141 });
  }

  private tune(): void {
    this.tuneNext = false;
    this.link.ask({ ...this.request("tune"), steps: Math.min(this.s.steps, 200) });
  }

  private takeTune(a: Answer): void {
    for (const [name, values] of Object.entries(a.header.methods as Record<string, Values>)) {
      if (name in this.s.methods && (!this.tuneOnly || this.tuneOnly === name)) Object.assign(this.s.methods[name], values);
    }
    this.tuneOnly = "";
    this.cards();
    this.ask();
  }

  private takeField(a: Answer): void {
    const { n, window, minima, floor } = a.header;
    this.field = { n, window, minima, floor, values: a.parts[0] };
    this.heights = new Heights(this.field);
    this.wrong("", null);
    this.touch();
  }

  private takePaths(a: Answer): void {
    this.seq = a.header.seq;
    const names = Object.keys(a.header.methods), runs: Run[] = [];
    let i = 0;
    for (const name of names) {
      const { status, nit } = a.header.methods[name];
      runs.push({ name, status, nit, x: a.parts[i++], f: a.parts[i++], g: a.parts[i++] });
    }
    const curvature = a.parts[i++], state: Runs["state"] = {};
    for (const [name, size] of Object.entries(a.header.state as Record<string, number>)) state[name] = { size, rows: a.parts[i++] };
    runs.sort((p, q) => this.order.indexOf(p.name) - this.order.indexOf(q.name));
    this.runs = { runs, focus: a.header.focus, curvature, state, longest: Math.max(1, ...runs.map((r) => r.nit)) };
    this.busy("");
    if (!this.answered) {
      this.answered = true;
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.step = still ? this.runs.longest : 0;
      if (!still && !this.fixed) this.play(true);
      else if (this.fixed) this.step = this.runs.longest;
    }
    this.step = Math.min(this.step, this.runs.longest);
    this.touch();
  }

  busy(what: string): void {
    document.body.classList.toggle("busy", !!what);
    const note = document.getElementById("status");
    if (note) note.textContent = what ? `${what} …` : "";
  }

  // ------------------------------------------------------------------ time
  private toggle(): void {
    this.play(!this.playing);
  }

  private play(on: boolean): void {
    if (on && this.runs && this.step >= this.runs.longest) this.step = 0;
    if (this.playing && !on) {
      this.s.at = Math.floor(this.step);
      this.changed();
    }
    this.playing = on;
    this.clock = 0;
    this.at.play.textContent = on ? "Pause" : "▶ Play";
    this.touch();
  }

  private seek(step: number): void {
    this.play(false);
    this.step = Math.min(this.runs?.longest ?? 0, Math.max(0, step));
    this.s.at = Math.floor(this.step);
    this.changed();
  }

  /** After another theme was chosen. */
  repaint(): void {
    if (this.begun) this.cards();
  }

  touch(): void {
    this.dirty = true;
  }

  private frame(t: number): void {
    requestAnimationFrame((u) => this.frame(u));
    if (this.playing && this.runs && this.s.tab === "playground") {
      if (this.clock) this.step = Math.min(this.runs.longest, this.step + ((t - this.clock) / 1000) * this.speed);
      this.clock = t;
      if (this.step >= this.runs.longest) this.play(false);
      this.dirty = true;
    }
    if (this.dirty && this.root.isConnected && this.s.tab === "playground") {
      this.dirty = false;
      this.draw();
    }
  }

  private view(): View {
    const adam = this.s.methods[this.s.focus] ?? {}, sliders = this.methods.get(this.s.focus)?.sliders ?? [];
    const value = (name: string) => adam[name] ?? sliders.find((s) => s.name === name)?.default;
    const b1 = value("b1"), b2 = value("b2");
    for (const name of Object.keys(this.s.methods)) this.pens[name] = this.penOf(name);
    return {
      field: this.field, heights: this.heights, runs: this.runs, pens: this.pens, start: this.s.x0 ?? this.scene.start, step: this.step,
      focus: this.s.focus, overlays: new Set(this.s.overlays), axes: this.scene.axes,
      info: this.methods.get(this.s.focus) ?? null, note: this.at.wrong.textContent ? "a formula that is understood is drawn here" : "", adam: b1 !== undefined && b2 !== undefined ? { b1, b2 } : null,
    };
  }

  private draw(): void {
    const view = this.view();
    if (this.runs) this.runs.runs = this.runs.runs.filter((r) => r.name in this.s.methods);
    this.map.draw(view);
    this.surface.draw(view);
    const runs = this.runs?.runs ?? [], longest = this.runs?.longest ?? 1;
    let lowest = this.field?.floor ?? Infinity;
    if (this.field?.floor == null) for (const r of runs) for (const f of r.f) if (f < lowest) lowest = f;
    const curves = (pick: (r: Run) => ArrayLike<number>): Curve[] => runs.map((r) => ({ name: this.label(r.name), pen: this.pens[r.name], values: pick(r) }));
    this.loss.draw(curves((r) => r.f.map((f) => Math.max(f - lowest, 0))), longest, this.step);
    this.slope.draw(curves((r) => norms(r.g)), longest, this.step);
    const k = Math.floor(this.step);
    this.at.scrub.max = String(longest);
    this.at.scrub.value = String(k);
    this.at.now.textContent = `step ${k}`;
    for (const r of runs) {
      const out = this.at.finals[r.name];
      if (!out) continue;
      const i = Math.min(k, r.nit), ended = i >= r.nit && r.status;
      const words = !Number.isFinite(r.f[i]) || r.status === "NONFINITE" && ended ? `left at step ${r.nit}` : `${short(r.f[i])}${ended ? mark(r.status, r.nit) : ""}`;
      if (out.textContent === words) continue;
      out.textContent = words;
      out.title = ended ? `${r.status.toLowerCase().replace("_", " ")} after ${r.nit} steps` : "f at this step";
    }
    const info = this.methods.get(this.s.focus);
    if (info) {
      const shown = this.map.hovered?.run.name === info.name ? this.map.hovered.k : this.step;
      const key = [this.s.focus, Math.floor(shown), this.runs?.runs.length, JSON.stringify(this.s.methods[this.s.focus])].join() + (this.runs?.focus ?? "");
      if (key !== this.at.explained || this.runs !== this.at.explainedRuns) {
        this.at.explained = key;
        this.at.explainedRuns = this.runs;
        this.at.explain.replaceChildren(h("h2", {}, info.label), ...explain(info, runs.find((r) => r.name === info.name), this.runs, shown, this.s.methods[this.s.focus] ?? {}, this.s.batch > 0, this.methods.get("nadam")));
      }
    }
    document.body.dataset.drawn = String(this.seq);
  }
}

function norms(g: Float32Array): Float32Array {
  return Float32Array.from({ length: g.length / 2 }, (_, k) => Math.hypot(g[2 * k], g[2 * k + 1]));
}

function mark(status: string, nit: number): string {
  if (status === "CONVERGED" || status === "PRECISION" || status === "TARGET") return ` ✓ ${nit}`;
  return ` ✗ ${nit}`;
}
