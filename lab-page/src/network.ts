// The network: several methods train the same small net side by side; what it decides, its losses, and a slice of the landscape.
import { css, isDark, pen, type Pen } from "./colours";
import { segments } from "./contour";
import { Curves } from "./curves";
import { fit, h, short, slider, swatch } from "./dom";
import type { Answer, Link } from "./link";
import { Heights } from "./scale";
import type { Meta, MethodInfo, NetworkState, Values } from "./types";
import { known } from "./url";

const FIRST = ["sgd", "momentum", "adam"];
const MOST = 6;
const WIDTHS = [4, 8, 16, 32];
const BATCHES = [1, 8, 32, 128];
const WORDS: Record<string, string> = {
  spirals: "Two spirals (points)", circles: "Two circles (points)", xor: "Four squares (points)", digits: "Handwritten digits (1,797 real ones)",
};

interface Trace { steps: number[]; loss: number[]; accuracy: number[] }
interface Slice { n: number; window: number[]; kind: string; held: number; values: Float32Array; runs: Record<string, Float32Array>; focus: string }

export class NetworkPage {
  readonly root: HTMLElement;
  private info: Map<string, MethodInfo>;
  private run = Math.floor(Math.random() * 1e9);
  private step = 0;
  private playing = false;
  private waiting = false;
  private shown = false;
  private begun = false;
  private frames: { name: string; loss: number; accuracy: number; test: number; picture: Float32Array }[] = [];
  private points: { x: Float32Array; y: Float32Array; digits: boolean; map: number } | null = null;
  private traces: Record<string, Trace> = {};
  private slice: Slice | null = null;
  private goal = Infinity;
  private at: Record<string, any> = {};
  private loss!: Curves;
  private accuracy!: Curves;

  constructor(private meta: Meta, private link: Link, private s: NetworkState, private changed: () => void) {
    const { methods, data } = meta.network;
    this.info = new Map(meta.methods.filter((m) => methods.includes(m.name)).map((m) => [m.name, m]));
    s.methods = Object.fromEntries(Object.entries(known(s.methods, this.info)).slice(0, MOST));
    if (!Object.keys(s.methods).length) for (const name of FIRST) s.methods[name] = this.suggested(name);
    if (!Object.hasOwn(s.methods, s.focus)) s.focus = Object.keys(s.methods).slice(-1)[0];
    if (!data.includes(s.data)) s.data = data[0];
    if (!WIDTHS.includes(s.width)) s.width = 16;
    if (!BATCHES.includes(s.batch)) s.batch = 32;
    if (!["path", "random"].includes(s.cut)) s.cut = "";
    this.root = this.build();
    link.on("train", (a) => this.take(a));
    link.on("slice", (a) => this.takeSlice(a));
    new ResizeObserver(() => this.draw()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
  }

  private suggested(name: string): Values {
    const lr = this.meta.network.step_sizes[name];
    return lr ? { lr } : {};
  }

  private build(): HTMLElement {
    const at = this.at;
    const s = this.s, again = () => {
      [s.data, s.width, s.batch] = [at.data.value, Number(at.width.value), Number(at.batch.value)];
      this.reset();
    };
    at.data = h("select", { id: "data", onchange: again }, ...this.meta.network.data.map((d) => h("option", { value: d, selected: d === s.data }, WORDS[d] ?? d)));
    at.width = h("select", { id: "width", "aria-label": "units", onchange: again }, ...WIDTHS.map((w) => h("option", { value: w, selected: w === s.width }, `2 × ${w} units`)));
    at.batch = h("select", { id: "batch", "aria-label": "batch size", onchange: again }, ...BATCHES.map((b) => h("option", { value: b, selected: b === s.batch }, `batches of ${b}`)));
    at.play = h("button", { id: "train", onclick: () => this.play(!this.playing) }, "▶ Train");
    at.now = h("output", { id: "epoch" }, "step 0");
    at.cards = h("div", { class: "cards" });
    at.more = h("details", { class: "more" }, h("summary", {}, "Add or remove methods"));
    at.tiles = h("div", { class: "tiles" });
    at.lossCanvas = h("canvas", { id: "netloss", class: "curve", "aria-label": "Training loss of each method" });
    at.accuracyCanvas = h("canvas", { id: "netaccuracy", class: "curve", "aria-label": "Error on the test points of each method" });
    at.sliceCanvas = h("canvas", { id: "slice", "aria-label": "The loss on a plane through the weights" });
    at.sliceWords = h("p", { class: "note" }, "The loss on a plane through the weights. Train for a while, then look.");
    this.loss = new Curves(at.lossCanvas, "training loss", () => {}, () => this.draw());
    this.accuracy = new Curves(at.accuracyCanvas, "test error", () => {}, () => this.draw(), { lowest: 1e-4 });
    this.cards();
    return h("main", { class: "playground network" },
      h("section", { class: "controls", "aria-label": "Data and methods" },
        h("div", { class: "group" }, h("label", { for: "data", class: "head" }, "Data and network"), at.data,
          h("div", { class: "pair" }, at.width, at.batch),
          h("p", { class: "why" }, "Equal starting weights and equal minibatches for all methods.")),
        h("div", { class: "group" }, h("div", { class: "head row" }, "Methods"), at.cards, at.more)),
      h("section", { class: "stage", "aria-label": "What the networks decide" },
        h("div", { class: "transport" }, at.play,
          h("button", { id: "trainstep", title: "ten steps", onclick: () => { this.play(false); this.ask(10); } }, "10 steps"),
          h("button", { id: "again", title: "the same start again", onclick: () => this.reset() }, "Start again"),
          h("button", { title: "other starting weights", onclick: () => { this.s.seed++; this.reset(); } }, "Other weights"), h("span", { class: "grow" }), at.now),
        at.tiles),
      h("section", { class: "side", "aria-label": "Losses and landscape" }, at.lossCanvas, at.accuracyCanvas,
        h("div", { class: "transport" }, h("strong", {}, "Landscape"),
          h("button", { id: "slicepath", onclick: () => this.cut("path") }, "through the path"),
          h("button", { id: "slicerandom", onclick: () => { this.s.cutSeed++; this.cut("random"); } }, "random directions")),
        at.sliceCanvas, at.sliceWords));
  }

  private penOf(name: string): Pen {
    return pen(Object.keys(this.s.methods).indexOf(name));
  }

  private label(name: string): string {
    return this.info.get(name)?.label ?? name;
  }

  private cards(): void {
    this.at.cards.replaceChildren(...Object.keys(this.s.methods).map((name) => {
      const info = this.info.get(name)!, open = name === this.s.focus, p = this.penOf(name);
      const body = h("div", { class: "cardbody" });
      if (open) {
        for (const s of info.sliders) {
          body.append(slider(`net-${name}-${s.name}`, s.symbol || s.name, `${s.name}: ${s.doc}`, s, this.s.methods[name][s.name] ?? s.default, (v) => { this.s.methods[name][s.name] = v; this.changed(); }).row);
        }
      }
      return h("div", { class: `card${open ? " open" : ""}` }, h("button", { class: "cardhead", "aria-expanded": String(open), onclick: () => { this.s.focus = name; this.cards(); this.changed(); } }, swatch(p), h("span", { class: "name" }, info.label)), body);
    }));
    const open = this.at.more.open;
    this.at.more.replaceChildren(h("summary", {}, `Add or remove methods (at most ${MOST})`), h("fieldset", {}, ...this.meta.network.methods.map((name) =>
      h("label", {}, h("input", { type: "checkbox", checked: name in this.s.methods, disabled: !(name in this.s.methods) && Object.keys(this.s.methods).length >= MOST, onchange: (e: Event) => {
        if ((e.target as HTMLInputElement).checked) this.s.methods[name] = this.suggested(name);
        else if (Object.keys(this.s.methods).length > 1) delete this.s.methods[name];
        if (!(this.s.focus in this.s.methods)) this.s.focus = Object.keys(this.s.methods)[0];
        this.reset();
        this.cards();
      } }), this.label(name)))));
    this.at.more.open = open;
  }

  show(): void {
    this.shown = true;
    this.cards();
    if (!this.begun) {
      this.begun = true;
      // A link's step is trained up to, before one's eyes.
      this.goal = this.s.at || Infinity;
      this.playing = this.goal < Infinity;
      this.ask(0);
    }
    this.say();
    this.draw();
  }

  hide(): void {
    this.shown = false;
    this.play(false);
  }

  private reset(): void {
    this.run++;
    this.step = this.s.at = 0;
    this.s.cut = "";
    this.goal = Infinity;
    this.traces = {};
    this.slice = null;
    this.frames = [];
    this.ask(0);
    this.changed();
  }

  private play(on: boolean): void {
    this.playing = on;
    this.goal = Infinity;
    this.say();
    if (on) this.ask(10);
  }

  private say(): void {
    this.at.play.textContent = this.playing ? "Pause" : "▶ Train";
  }

  private ask(steps: number): void {
    if (this.waiting && steps) return;
    this.waiting = true;
    this.link.ask({
      op: "train", run: this.run, data: this.s.data, width: this.s.width, batch: this.s.batch, seed: this.s.seed, methods: this.s.methods, steps,
    });
  }

  private cut(kind: string): void {
    this.s.cut = kind;
    this.changed();
    this.link.ask({ op: "slice", kind, focus: this.s.focus, n: 35, seed: this.s.cutSeed });
  }

  trouble(message: string): void {
    this.waiting = false;
    this.play(false);
    this.at.sliceWords.textContent = message;
  }

  private take(a: Answer): void {
    this.waiting = false;
    const { run, step, methods, digits, map } = a.header;
    if (run !== this.run) return;
    this.step = this.s.at = step;
    this.changed();
    const names = Object.keys(methods);
    this.frames = names.map((name, i) => ({ name, ...methods[name], picture: a.parts[i] }));
    this.points = { x: a.parts[names.length], y: a.parts[names.length + 1], digits, map };
    for (const f of this.frames) {
      const t = (this.traces[f.name] ??= { steps: [], loss: [], accuracy: [] });
      if (t.steps[t.steps.length - 1] === step) continue;
      t.steps.push(step);
      t.loss.push(f.loss ?? NaN);
      t.accuracy.push(Math.max(1 - f.test, 1e-3));
    }
    this.at.now.textContent = `step ${step}`;
    if (this.at.tiles.children.length !== names.length || this.at.tiles.dataset.names !== names.join()) {
      this.at.tiles.dataset.names = names.join();
      this.at.tiles.replaceChildren(...names.map((name) => h("figure", { class: "tile" }, h("canvas", { "aria-label": `What the network of ${this.label(name)} decides` }), h("figcaption", {}))));
    }
    this.draw();
    if (this.step >= this.goal) {
      this.play(false);
      if (this.s.cut) this.cut(this.s.cut);
    }
    if (this.playing && this.shown) requestAnimationFrame(() => this.ask(Math.min(this.step < 200 ? 5 : 20, this.goal - this.step)));
  }

  private takeSlice(a: Answer): void {
    const { n, window, kind, held, names, focus } = a.header;
    const runs: Record<string, Float32Array> = {};
    names.forEach((name: string, i: number) => (runs[name] = a.parts[i + 1]));
    this.slice = { n, window, kind, held, values: a.parts[0], runs, focus };
    this.draw();
  }

  private draw(): void {
    if (!this.root.isConnected) return;
    const names = this.frames.map((f) => f.name), longest = Math.max(10, this.step);
    const curves = (pick: (t: Trace) => number[]) => names.map((name) => ({ name: this.label(name), pen: this.penOf(name), values: pick(this.traces[name]), x: this.traces[name].steps }));
    this.loss.draw(curves((t) => t.loss), longest, this.step);
    this.accuracy.draw(curves((t) => t.accuracy), longest, this.step);
    this.frames.forEach((f, i) => {
      const tile = this.at.tiles.children[i] as HTMLElement;
      if (!tile || !this.points) return;
      const canvas = tile.querySelector("canvas")!, caption = tile.querySelector("figcaption")!, p = this.penOf(f.name);
      caption.replaceChildren(swatch(p), h("b", {}, this.label(f.name)), ` loss ${short(f.loss ?? NaN)} · test ${short(100 * f.test)} %`);
      if (this.points.digits) this.digits(canvas, f.picture);
      else this.plane(canvas, f.picture);
    });
    this.drawSlice();
    document.body.dataset.trained = String(this.step);
  }

  /** The probability of one class over the plane, and the points. */
  private plane(canvas: HTMLCanvasElement, picture: Float32Array): void {
    const { c, w, h: tall } = fit(canvas), n = this.points!.map, dark = isDark();
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const pixels = new ImageData(n, n);
    const [one, two] = dark ? [[28, 62, 92], [110, 62, 22]] : [[190, 217, 238], [250, 216, 184]], middle = dark ? [24, 31, 38] : [255, 255, 255];
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) {
        const q = 2 * picture[j * n + i] - 1, side = q > 0 ? two : one, k = 4 * ((n - 1 - j) * n + i);
        for (let b = 0; b < 3; b++) pixels.data[k + b] = middle[b] + (side[b] - middle[b]) * Math.abs(q);
        pixels.data[k + 3] = 255;
      }
    }
    small.getContext("2d")!.putImageData(pixels, 0, 0);
    c.imageSmoothingEnabled = true;
    c.drawImage(small, 0, 0, w, tall);
    c.strokeStyle = css("--ink");
    c.lineWidth = 1.4;
    const s = segments(picture, n, 0.5);
    c.beginPath();
    for (let i = 0; i < s.length; i += 4) {
      c.moveTo((s[i] / (n - 1)) * w, tall - (s[i + 1] / (n - 1)) * tall);
      c.lineTo((s[i + 2] / (n - 1)) * w, tall - (s[i + 3] / (n - 1)) * tall);
    }
    c.stroke();
    const { x, y } = this.points!, colours = dark ? ["#56b4e9", "#ff8c42"] : ["#0072b2", "#c04a00"];
    for (let i = 0; i < y.length; i++) {
      const px = ((x[2 * i] + 1.1) / 2.2) * w, py = tall - ((x[2 * i + 1] + 1.1) / 2.2) * tall;
      c.fillStyle = colours[y[i] ? 1 : 0];
      c.beginPath();
      // Two shapes, for those who cannot tell the colours.
      if (y[i]) c.rect(px - 2.2, py - 2.2, 4.4, 4.4);
      else c.arc(px, py, 2.4, 0, 7);
      c.fill();
    }
  }

  /** Digits that were not trained on, each with what the network says; what is wrong is framed. */
  private digits(canvas: HTMLCanvasElement, said: Float32Array): void {
    const { c, w, h: tall } = fit(canvas), { x, y } = this.points!, count = y.length, columns = 7, rows = Math.ceil(count / columns);
    const cell = Math.min(w / columns, tall / rows), dark = isDark();
    c.clearRect(0, 0, w, tall);
    const image = document.createElement("canvas");
    image.width = image.height = 8;
    for (let d = 0; d < count; d++) {
      const pixels = new ImageData(8, 8);
      let top = 0;
      for (let k = 0; k < 64; k++) top = Math.max(top, x[64 * d + k]);
      for (let k = 0; k < 64; k++) {
        const v = 255 * (x[64 * d + k] / (top || 1));
        pixels.data.set(dark ? [v, v, v, 255] : [255 - v, 255 - v, 255 - v, 255], 4 * k);
      }
      image.getContext("2d")!.putImageData(pixels, 0, 0);
      const px = (d % columns) * cell, py = Math.floor(d / columns) * cell, wrong = said[d] !== y[d];
      c.imageSmoothingEnabled = false;
      c.drawImage(image, px + 3, py + 3, cell - 6, cell - 6);
      c.strokeStyle = wrong ? css("--wrong") : css("--line");
      c.lineWidth = wrong ? 2.5 : 1;
      c.strokeRect(px + 2, py + 2, cell - 4, cell - 4);
      c.font = `${wrong ? "700" : "500"} ${Math.max(10, cell / 3.6)}px system-ui, sans-serif`;
      c.textAlign = "right";
      c.textBaseline = "bottom";
      c.strokeStyle = css("--halo");
      c.lineWidth = 3;
      const text = wrong ? `✗${said[d]}` : String(said[d]);
      c.strokeText(text, px + cell - 4, py + cell - 3);
      c.fillStyle = wrong ? css("--wrong") : css("--ink");
      c.fillText(text, px + cell - 4, py + cell - 3);
    }
  }

  private drawSlice(): void {
    const { c, w, h: tall } = fit(this.at.sliceCanvas);
    c.clearRect(0, 0, w, tall);
    const s = this.slice;
    if (!s) return;
    const field = { n: s.n, window: s.window, minima: [], floor: null, values: s.values }, heights = new Heights(field);
    const [left, right, low, high] = s.window;
    c.strokeStyle = css("--contour");
    for (const level of heights.levels(18)) {
      const lines = segments(s.values, s.n, level);
      c.strokeStyle = css("--muted");
      c.globalAlpha = 0.55;
      c.beginPath();
      for (let i = 0; i < lines.length; i += 4) {
        c.moveTo((lines[i] / (s.n - 1)) * w, tall - (lines[i + 1] / (s.n - 1)) * tall);
        c.lineTo((lines[i + 2] / (s.n - 1)) * w, tall - (lines[i + 3] / (s.n - 1)) * tall);
      }
      c.stroke();
    }
    c.globalAlpha = 1;
    for (const [name, run] of Object.entries(s.runs)) {
      if (!(name in this.s.methods)) continue;
      if (s.kind === "random" && name !== s.focus) continue;
      const p = this.penOf(name), X = (k: number) => ((run[2 * k] - left) / (right - left)) * w, Y = (k: number) => tall - ((run[2 * k + 1] - low) / (high - low)) * tall;
      const last = run.length / 2 - 1;
      c.strokeStyle = c.fillStyle = p.colour;
      c.setLineDash(p.dash);
      c.lineWidth = 2;
      c.beginPath();
      for (let k = 0; k <= last; k++) (k ? c.lineTo : c.moveTo).call(c, X(k), Y(k));
      c.stroke();
      c.setLineDash([]);
      c.beginPath();
      c.arc(X(last), Y(last), 4.5, 0, 7);
      c.fill();
    }
    let best = Infinity, worst = -Infinity;
    for (const v of s.values) {
      if (v < best) best = v;
      if (v > worst) worst = v;
    }
    this.at.sliceWords.textContent = s.kind === "path"
      ? `The plane of the runs' two principal directions; it holds ${short(100 * s.held)} % of their variance. Loss from ${short(best)} to ${short(worst)}.`
      : `Two random directions around the weights of ${this.label(s.focus)}, each unit scaled to its own norm (Li et al. 2018). Its run, of which this plane holds ${short(100 * s.held, 2)} %, is projected. Loss from ${short(best)} to ${short(worst)}.`;
  }
}
