// Linear systems: a Poisson problem whose iterates are images that smooth, and the residuals' curves.
import { css, isDark, pen, type Pen } from "./colours";
import { Curves } from "./curves";
import { fit, h, short, slider, swatch } from "./dom";
import type { Answer, Link } from "./link";
import type { LinearState, Meta, MethodInfo } from "./types";
import { known } from "./url";

const FIRST = ["jacobi", "gauss_seidel", "sor", "cg"];
const STEPS = [50, 100, 200, 400];
const STARTS: Record<string, string> = { noise: "start from noise", zero: "start from zero", waves: "slow and quick waves of error" };

interface Run { name: string; status: string; residual: Float32Array; error: Float32Array; images: Float32Array }

export class LinearPage {
  readonly root: HTMLElement;
  private info: Map<string, MethodInfo>;
  private runs: Run[] = [];
  private frames: number[] = [0];
  private solution: Float32Array = new Float32Array(0);
  private n = 0;
  private step = 0;
  private playing = false;
  private clock = 0;
  private begun = false;
  private at: Record<string, any> = {};
  private residual!: Curves;
  private error!: Curves;

  constructor(private meta: Meta, private link: Link, private s: LinearState, private changed: () => void, private fixed: boolean) {
    this.info = new Map(meta.linear.methods.map((m) => [m.name, m]));
    s.methods = known(s.methods, this.info);
    if (!Object.keys(s.methods).length) for (const name of FIRST) if (this.info.has(name)) s.methods[name] = name === "sor" ? { weight: 1.75 } : {};
    if (!Object.hasOwn(s.methods, s.focus)) s.focus = Object.keys(s.methods)[0] ?? "";
    if (!meta.linear.sizes.includes(s.size)) s.size = meta.linear.sizes[meta.linear.sizes.length - 1];
    if (!meta.linear.starts.includes(s.start)) s.start = meta.linear.starts[0];
    if (!STEPS.includes(s.steps)) s.steps = 100;
    if (s.what !== "error") s.what = "x";
    this.step = s.at ?? 0;
    this.root = this.build();
    link.on("linear", (a) => this.take(a));
    new ResizeObserver(() => this.draw()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.root.isConnected && this.show());
  }

  private build(): HTMLElement {
    const at = this.at, options = (values: (string | number)[], words: (v: any) => string, chosen: string | number) =>
      values.map((v) => h("option", { value: v, selected: v === chosen }, words(v)));
    at.size = h("select", { id: "size", disabled: this.fixed, "aria-label": "grid", onchange: () => { this.s.size = Number(at.size.value); this.ask(); } }, ...options(this.meta.linear.sizes, (n) => `${n} × ${n}`, this.s.size));
    at.start = h("select", { id: "linstart", disabled: this.fixed, "aria-label": "start", onchange: () => { this.s.start = at.start.value; this.ask(); } }, ...options(this.meta.linear.starts, (s) => STARTS[s] ?? s, this.s.start));
    at.steps = h("select", { id: "linsteps", disabled: this.fixed, "aria-label": "steps", onchange: () => { this.s.steps = Number(at.steps.value); this.ask(); } }, ...options(STEPS, (n) => `${n} steps`, this.s.steps));
    at.what = h("select", { id: "what", "aria-label": "what the images show", onchange: () => { this.s.what = at.what.value; this.changed(); this.draw(); } },
      ...options(["x", "error"], (v) => (v === "x" ? "show x" : "show the error x − x*"), this.s.what));
    at.play = h("button", { id: "linplay", onclick: () => this.play(!this.playing) }, "▶ Play");
    at.scrub = h("input", { type: "range", id: "linscrub", min: 0, max: 1, value: 0, "aria-label": "step", oninput: () => this.seek(Number(at.scrub.value)) });
    at.now = h("output", { id: "linnow" });
    at.cards = h("div", { class: "cards" });
    at.more = h("details", { class: "more" }, h("summary", {}, "Add or remove methods"));
    at.tiles = h("div", { class: "tiles" });
    at.wrong = h("div", { class: "wrong", role: "alert" });
    at.residualCanvas = h("canvas", { id: "residual", class: "curve", "aria-label": "Residual of each method over the steps" });
    at.errorCanvas = h("canvas", { id: "error", class: "curve", "aria-label": "Error of each method over the steps" });
    at.rule = h("div", { class: "explain" });
    this.residual = new Curves(at.residualCanvas, "residual ‖b − Ax‖ / ‖b‖", (k) => this.seek(k), () => this.draw());
    this.error = new Curves(at.errorCanvas, "error ‖x − x*‖ / ‖x*‖", (k) => this.seek(k), () => this.draw());
    this.cards();
    requestAnimationFrame((t) => this.frame(t));
    return h("main", { class: "playground linear" },
      h("section", { class: "controls", "aria-label": "Problem and methods" },
        h("div", { class: "group" }, h("div", { class: "head" }, "−Δu = h on a square"),
          h("p", { class: "why" }, "Two warm spots and a cold one, u = 0 at the edge. Jacobi and Gauss-Seidel smooth what is rough at once and then crawl; SOR with a good ω and conjugate gradients do not."),
          at.start, h("div", { class: "pair" }, at.size, at.steps), at.wrong),
        h("div", { class: "group" }, h("div", { class: "head row" }, "Methods"), at.cards, at.more)),
      h("section", { class: "stage", "aria-label": "Iterates" },
        h("div", { class: "transport" }, at.play, at.scrub, at.now, at.what), at.tiles),
      h("section", { class: "side", "aria-label": "Curves" }, at.residualCanvas, at.errorCanvas, at.rule));
  }

  private label(name: string): string {
    return this.info.get(name)?.label ?? name;
  }

  private penOf(name: string): Pen {
    return pen(Object.keys(this.s.methods).indexOf(name));
  }

  private cards(): void {
    this.at.cards.replaceChildren(...Object.keys(this.s.methods).map((name) => {
      const info = this.info.get(name)!, open = name === this.s.focus, p = this.penOf(name), body = h("div", { class: "cardbody" });
      if (open) {
        for (const s of info.sliders) {
          body.append(slider(`lin-${name}-${s.name}`, s.symbol || s.name, `${s.name}: ${s.doc}`, s, this.s.methods[name][s.name] ?? s.default, (v) => {
            this.s.methods[name][s.name] = v;
            this.ask();
          }).row);
        }
        if (!info.sliders.length) body.append(h("p", { class: "note" }, "nothing to set"));
      }
      return h("div", { class: `card${open ? " open" : ""}` }, h("button", { class: "cardhead", "aria-expanded": String(open), onclick: () => { this.s.focus = name; this.cards(); this.changed(); } }, swatch(p), h("span", { class: "name" }, info.label)), body);
    }));
    const open = this.at.more.open;
    this.at.more.replaceChildren(h("summary", {}, "Add or remove methods"), h("fieldset", {}, ...this.meta.linear.methods.map(({ name, label }) =>
      h("label", {}, h("input", { type: "checkbox", id: `lin-on-${name}`, disabled: this.fixed, checked: name in this.s.methods, onchange: (e: Event) => {
        if ((e.target as HTMLInputElement).checked) this.s.methods[name] = {};
        else if (Object.keys(this.s.methods).length > 1) delete this.s.methods[name];
        this.s.focus = name in this.s.methods ? name : Object.keys(this.s.methods)[0];
        this.cards();
        this.ask();
      } }), label))));
    this.at.more.open = open;
    const info = this.info.get(this.s.focus);
    if (info) this.at.rule.replaceChildren(h("h2", {}, info.label), h("p", { class: "about" }, info.about), h("div", { class: "rule" }, info.rule.slice(0, 6).join("\n")));
  }

  show(): void {
    this.cards();
    if (!this.begun) {
      this.begun = true;
      this.ask();
    }
    this.draw();
  }

  hide(): void {
    this.play(false);
  }

  trouble(message: string): void {
    this.at.wrong.textContent = message;
  }

  private ask(): void {
    this.link.ask({ op: "linear", n: this.s.size, start: this.s.start, steps: this.s.steps, methods: this.s.methods });
    this.changed();
  }

  private take(a: Answer): void {
    const { n, frames, methods } = a.header, names = Object.keys(methods), first = !this.runs.length;
    this.n = n;
    this.frames = frames;
    this.solution = a.parts[0];
    this.runs = names.map((name, i) => ({ name, status: methods[name], residual: a.parts[3 * i + 1], error: a.parts[3 * i + 2], images: a.parts[3 * i + 3] }));
    this.at.wrong.textContent = "";
    if (this.at.tiles.dataset.names !== names.join()) {
      this.at.tiles.dataset.names = names.join();
      this.at.tiles.replaceChildren(...names.map((name) => h("figure", { class: "tile" }, h("canvas", { "aria-label": `Iterate of ${this.label(name)}` }), h("figcaption", {}))));
    }
    if (first && this.s.at === null) {
      if (matchMedia("(prefers-reduced-motion: reduce)").matches || this.fixed) this.step = 8;
      else this.play(true);
    }
    this.step = Math.min(this.step, this.longest);
    this.draw();
  }

  private get longest(): number {
    return this.frames[this.frames.length - 1];
  }

  private seek(step: number): void {
    this.play(false);
    this.step = this.s.at = Math.max(0, Math.min(this.longest, step));
    this.changed();
    this.draw();
  }

  private play(on: boolean): void {
    if (on && this.step >= this.longest) this.step = 0;
    if (this.playing && !on) {
      this.s.at = Math.floor(this.step);
      this.changed();
    }
    this.playing = on;
    this.clock = 0;
    this.at.play.textContent = on ? "Pause" : "▶ Play";
  }

  private frame(t: number): void {
    requestAnimationFrame((u) => this.frame(u));
    if (!this.playing || !this.root.isConnected) return;
    // Slow at first, where there is most to see.
    if (this.clock) this.step = Math.min(this.longest, this.step + ((t - this.clock) / 1000) * (4 + this.step / 3));
    this.clock = t;
    if (this.step >= this.longest) this.play(false);
    this.draw();
  }

  private draw(): void {
    if (!this.root.isConnected || !this.runs.length) return;
    const k = Math.floor(this.step);
    let at = 0;
    while (at + 1 < this.frames.length && this.frames[at + 1] <= k) at++;
    this.at.scrub.max = String(this.longest);
    this.at.scrub.value = String(k);
    this.at.now.textContent = `step ${k}`;
    const size = this.n * this.n, error = this.s.what === "error";
    this.runs.forEach((run, i) => {
      const tile = this.at.tiles.children[i] as HTMLElement, p = this.penOf(run.name), j = Math.min(k, run.residual.length - 1);
      if (!tile) return;
      this.image(tile.querySelector("canvas")!, run.images.subarray(at * size, (at + 1) * size), error);
      const ended = k >= run.residual.length - 1 && run.status ? ` · ${run.status.toLowerCase()} at ${run.residual.length - 1}` : "";
      tile.querySelector("figcaption")!.replaceChildren(swatch(p), h("b", {}, this.label(run.name)), ` ${short(run.residual[j])}${ended}`);
    });
    const curves = (pick: (r: Run) => Float32Array) => this.runs.map((r) => ({ name: this.label(r.name), pen: this.penOf(r.name), values: pick(r) }));
    this.residual.draw(curves((r) => r.residual), this.longest, this.step);
    this.error.draw(curves((r) => r.error), this.longest, this.step);
    document.body.dataset.linear = String(k);
  }

  /** Values from −1 (blue) by 0 (paper) to 1 (orange). */
  private image(canvas: HTMLCanvasElement, x: Float32Array, error: boolean): void {
    const { c, w, h: tall } = fit(canvas), n = this.n, dark = isDark();
    const [low, middle, high] = dark ? [[70, 150, 225], [22, 28, 34], [245, 140, 60]] : [[0, 90, 165], [250, 250, 248], [200, 80, 0]];
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const pixels = new ImageData(n, n);
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) {
        const v = x[j * n + i] - (error ? this.solution[j * n + i] : 0), t = Math.min(1, Math.abs(v)), side = v < 0 ? low : high, k = 4 * ((n - 1 - j) * n + i);
        for (let b = 0; b < 3; b++) pixels.data[k + b] = middle[b] + (side[b] - middle[b]) * t;
        pixels.data[k + 3] = 255;
      }
    }
    small.getContext("2d")!.putImageData(pixels, 0, 0);
    c.imageSmoothingEnabled = false;
    c.drawImage(small, 0, 0, w, tall);
    c.strokeStyle = css("--line");
    c.strokeRect(0, 0, w, tall);
  }
}
