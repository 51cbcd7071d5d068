// The contour map with the paths on it, and what the method in focus remembers, drawn at the ball.
import { css, isDark, ramp, type Pen } from "./colours";
import { segments } from "./contour";
import { fit, short } from "./dom";
import { damping, letter, units } from "./explain";
import { type Heights, valueAt } from "./scale";
import type { Field, MethodInfo, Run, Runs } from "./types";

const MARGIN = { left: 40, right: 8, top: 8, bottom: 30 };
const LEVELS = 16;

interface Box { left: number; top: number; w: number; h: number }

export interface View {
  field: Field | null; heights: Heights | null; runs: Runs | null; pens: Record<string, Pen>; start: [number, number];
  step: number; focus: string; overlays: Set<string>; axes: [string, string]; info: MethodInfo | null; note: string; adam: { b1: number; b2: number } | null;
}

export class ContourMap {
  private base = document.createElement("canvas");
  private baseFor = "";
  private size: Box = { left: 0, top: 0, w: 0, h: 0 };
  hovered: { run: Run; k: number } | null = null;

  constructor(readonly canvas: HTMLCanvasElement) {}

  /** The map inside its margins, as it was drawn last; to ask the browser for the size at every point of a path took 7 ms a picture. */
  private box(): Box {
    if (!this.size.w) this.measure(this.canvas.clientWidth, this.canvas.clientHeight);
    return this.size;
  }

  private measure(w: number, h: number): void {
    this.size = { left: MARGIN.left, top: MARGIN.top, w: w - MARGIN.left - MARGIN.right, h: h - MARGIN.top - MARGIN.bottom };
  }

  /** Where a point of the plane is on the canvas. */
  place(field: Field, x: number, y: number): [number, number] {
    const b = this.box(), [left, right, low, high] = field.window;
    return [b.left + ((x - left) / (right - left)) * b.w, b.top + b.h - ((y - low) / (high - low)) * b.h];
  }

  /** The point of the plane under a place of the canvas. */
  point(field: Field, px: number, py: number): [number, number] {
    const b = this.box(), [left, right, low, high] = field.window;
    return [left + ((px - b.left) / b.w) * (right - left), low + ((b.top + b.h - py) / b.h) * (high - low)];
  }

  /** The nearest step of a path within reach of the pointer. */
  nearest(view: View, px: number, py: number): { run: Run; k: number } | null {
    if (!view.field || !view.runs) return null;
    let best = 12 ** 2, found: { run: Run; k: number } | null = null;
    for (const run of view.runs.runs) {
      for (let k = 0; k <= run.nit; k++) {
        const [x, y] = this.place(view.field, run.x[2 * k], run.x[2 * k + 1]);
        const d = (x - px) ** 2 + (y - py) ** 2;
        if (d < best) [best, found] = [d, { run, k }];
      }
    }
    return found;
  }

  draw(view: View): void {
    const { c, w, h } = fit(this.canvas);
    this.measure(w, h);
    c.clearRect(0, 0, w, h);
    const { field, heights, runs } = view;
    if (!field || !heights) {
      c.font = "13px system-ui, sans-serif";
      c.textAlign = "center";
      c.fillStyle = css("--muted");
      c.fillText(view.note, w / 2, h / 2);
      return;
    }
    this.drawBase(view);
    c.drawImage(this.base, 0, 0, w, h);
    const b = this.box();
    c.save();
    c.beginPath();
    c.rect(b.left, b.top, b.w, b.h);
    c.clip();
    this.minima(c, field);
    if (runs) {
      for (const run of runs.runs) if (run.name !== view.focus) this.path(c, field, run, view);
      for (const run of runs.runs) if (run.name === view.focus) this.path(c, field, run, view);
      this.overlays(c, field, runs, view);
    }
    this.startMark(c, field, view.start);
    c.restore();
    if (runs) for (const run of runs.runs) this.escaped(c, field, run, view);
    if (this.hovered) {
      const { run, k } = this.hovered, [x, y] = this.place(field, run.x[2 * k], run.x[2 * k + 1]);
      c.strokeStyle = css("--ink");
      c.lineWidth = 1.5;
      c.beginPath();
      c.arc(x, y, 8, 0, 7);
      c.stroke();
    }
  }

  /** Colours, contour lines and axes; kept until one of them changes. */
  private drawBase(view: View): void {
    const field = view.field!, heights = view.heights!;
    const key = [this.canvas.width, this.canvas.height, isDark(), field.window, stamp(field), view.axes].join();
    if (key === this.baseFor) return;
    this.baseFor = key;
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    const ratio = this.canvas.width / Math.max(1, this.canvas.clientWidth);
    const c = this.base.getContext("2d")!;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const n = field.n, b = this.box(), dark = isDark();
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const pixels = new ImageData(n, n);
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) {
        const [r, g, bl] = ramp(heights.of(field.values[j * n + i]), dark), at = 4 * ((n - 1 - j) * n + i);
        pixels.data[at] = r;
        pixels.data[at + 1] = g;
        pixels.data[at + 2] = bl;
        pixels.data[at + 3] = 255;
      }
    }
    small.getContext("2d")!.putImageData(pixels, 0, 0);
    c.imageSmoothingEnabled = true;
    c.imageSmoothingQuality = "high";
    c.drawImage(small, b.left, b.top, b.w, b.h);
    c.strokeStyle = css("--contour");
    c.lineWidth = 0.8;
    const sx = b.w / (n - 1), sy = b.h / (n - 1);
    for (const level of heights.levels(LEVELS)) {
      const s = segments(field.values, n, level);
      c.beginPath();
      for (let i = 0; i < s.length; i += 4) {
        c.moveTo(b.left + s[i] * sx, b.top + b.h - s[i + 1] * sy);
        c.lineTo(b.left + s[i + 2] * sx, b.top + b.h - s[i + 3] * sy);
      }
      c.stroke();
    }
    this.axes(c, view);
  }

  private axes(c: CanvasRenderingContext2D, view: View): void {
    const field = view.field!, b = this.box(), [left, right, low, high] = field.window;
    c.strokeStyle = css("--line");
    c.strokeRect(b.left, b.top, b.w, b.h);
    c.fillStyle = css("--muted");
    c.font = "11px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const v of ticks(left, right, 6)) c.fillText(short(v), this.place(field, v, low)[0], b.top + b.h + 4);
    c.fillText(view.axes[0], b.left + b.w / 2, b.top + b.h + 17);
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const v of ticks(low, high, 6)) c.fillText(short(v), b.left - 5, this.place(field, left, v)[1]);
    c.save();
    c.translate(9, b.top + b.h / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(view.axes[1], 0, 0);
    c.restore();
  }

  private minima(c: CanvasRenderingContext2D, field: Field): void {
    c.strokeStyle = css("--ink");
    c.lineWidth = 1.6;
    for (const [x, y] of field.minima) {
      const [px, py] = this.place(field, x, y);
      c.beginPath();
      c.moveTo(px - 5, py);
      c.lineTo(px + 5, py);
      c.moveTo(px, py - 5);
      c.lineTo(px, py + 5);
      c.stroke();
    }
  }

  private startMark(c: CanvasRenderingContext2D, field: Field, start: [number, number]): void {
    const [x, y] = this.place(field, ...start);
    c.lineWidth = 2;
    c.strokeStyle = css("--ink");
    c.fillStyle = css("--panel");
    c.beginPath();
    c.rect(x - 5, y - 5, 10, 10);
    c.fill();
    c.stroke();
  }

  private path(c: CanvasRenderingContext2D, field: Field, run: Run, view: View): void {
    const p = view.pens[run.name], end = Math.min(view.step, run.nit), whole = Math.floor(end);
    const px = new Float32Array(2 * (run.nit + 1));
    for (let k = 0; k <= run.nit; k++) {
      const [x, y] = this.place(field, run.x[2 * k], run.x[2 * k + 1]);
      // Far outside, where a canvas loses its way.
      px[2 * k] = Math.min(1e5, Math.max(-1e5, x));
      px[2 * k + 1] = Math.min(1e5, Math.max(-1e5, y));
    }
    const focus = run.name === view.focus;
    const ball = between(px, end);
    c.lineJoin = "bevel";
    c.lineCap = "round";
    c.globalAlpha = 0.25;
    c.setLineDash(p.dash);
    c.strokeStyle = p.colour;
    c.lineWidth = 1.5;
    trace(c, px, whole, run.nit);
    c.stroke();
    c.globalAlpha = 1;
    trace(c, px, 0, whole);
    c.lineTo(ball[0], ball[1]);
    c.setLineDash([]);
    c.strokeStyle = css("--halo");
    c.lineWidth = focus ? 5 : 4;
    c.stroke();
    c.setLineDash(p.dash);
    c.strokeStyle = p.colour;
    c.lineWidth = focus ? 2.6 : 1.8;
    c.stroke();
    c.setLineDash([]);
    if (run.nit <= 150) {
      c.fillStyle = p.colour;
      c.beginPath();
      let x = NaN, y = NaN;
      for (let k = 1; k <= whole; k++) {
        if (Math.abs(px[2 * k] - x) + Math.abs(px[2 * k + 1] - y) < 2) continue;
        [x, y] = [px[2 * k], px[2 * k + 1]];
        c.moveTo(x, y);
        c.arc(x, y, focus ? 2.6 : 2, 0, 7);
      }
      c.fill();
    }
    c.fillStyle = p.colour;
    c.strokeStyle = css("--halo");
    c.lineWidth = 1.5;
    c.beginPath();
    c.arc(ball[0], ball[1], focus ? 6.5 : 5, 0, 7);
    c.fill();
    c.stroke();
  }

  /** A cross at the edge of the map where a ball is beyond it. */
  private escaped(c: CanvasRenderingContext2D, field: Field, run: Run, view: View): void {
    const k = Math.min(run.nit, Math.floor(view.step)), [x, y] = this.place(field, run.x[2 * k], run.x[2 * k + 1]), b = this.box();
    const bad = !Number.isFinite(x) || !Number.isFinite(y);
    if (!bad && x >= b.left && x <= b.left + b.w && y >= b.top && y <= b.top + b.h) return;
    const px = Math.min(b.left + b.w - 6, Math.max(b.left + 6, bad ? b.left + b.w : x));
    const py = Math.min(b.top + b.h - 6, Math.max(b.top + 6, bad ? b.top : y));
    c.strokeStyle = view.pens[run.name].colour;
    c.lineWidth = 2.5;
    c.beginPath();
    c.moveTo(px - 4, py - 4);
    c.lineTo(px + 4, py + 4);
    c.moveTo(px + 4, py - 4);
    c.lineTo(px - 4, py + 4);
    c.stroke();
  }

  private overlays(c: CanvasRenderingContext2D, field: Field, runs: Runs, view: View): void {
    const run = runs.runs.find((r) => r.name === runs.focus);
    if (!run || run.name !== view.focus) return;
    const k = Math.min(run.nit, Math.floor(view.step)), x: [number, number] = [run.x[2 * k], run.x[2 * k + 1]];
    const at = this.place(field, ...x), g: [number, number] = [run.g[2 * k], run.g[2 * k + 1]];
    if (!at.every(Number.isFinite)) return;
    const notes: string[] = [];
    const vector = (name: string): [number, number] | null => {
      const s = runs.state[name];
      return s && s.size === 2 ? [s.rows[2 * k], s.rows[2 * k + 1]] : null;
    };
    if (view.overlays.has("gradient")) this.arrow(c, at, this.direction(field, [-g[0], -g[1]], 46), css("--ink"), "−g");
    const v = vector("v"), m = vector("m");
    if (view.overlays.has("velocity") && v && !m) {
      const tip = this.place(field, x[0] + v[0], x[1] + v[1]);
      const reach: [number, number] = [tip[0] - at[0], tip[1] - at[1]];
      this.arrow(c, at, Math.hypot(...reach) < 14 ? this.direction(field, v, 14) : reach, css("--accent"), "v");
    }
    if (view.overlays.has("moments") && m) {
      this.arrow(c, at, this.direction(field, [-m[0], -m[1]], 46), css("--accent"), "−m̂");
      const u = vector("v") ?? vector("u");
      if (u && view.adam) {
        const correct = k > 0 ? 1 - view.adam.b2 ** k : 1;
        const root = u.map((s) => Math.sqrt(Math.max(0, s) / correct));
        const [wide, tall] = this.direction(field, [root[0], root[1]], 40).map(Math.abs);
        this.ellipse(c, at, Math.max(2, wide), Math.max(2, tall), css("--accent"));
        notes.push(`√v̂ = (${short(root[0])}, ${short(root[1])})`);
      }
    }
    if (view.overlays.has("model")) this.model(c, field, x, g, runs.curvature.subarray(4 * k, 4 * k + 4), run.f[k]);
    if (view.overlays.has("region") && view.info) {
      const named = (wanted: string) => Object.entries(runs.state).find(([n, s]) => s.size === 1 && letter(view.info!, n, 1) === wanted);
      const radius = named("Δ")?.[1].rows[k], D = units(view.info, runs, k);
      if (radius !== undefined) {
        // ‖D p‖ ≤ Δ: where the model is trusted.
        const b = this.box(), [left, right, low, high] = field.window;
        this.ellipse(c, at, (radius / D[0] / (right - left)) * b.w, (radius / D[1] / (high - low)) * b.h, css("--accent"));
        notes.push(`Δ = ${short(radius)}`);
      }
      if (view.info.rule.some((line) => line.startsWith("(JᵀJ + λ"))) notes.push(`λ = ${short(damping(run, runs, k))}`);
    }
    c.font = "600 12px system-ui, sans-serif";
    c.textAlign = "left";
    c.textBaseline = "top";
    const corner = this.box();
    notes.forEach((note, i) => this.label(c, note, corner.left + 8, corner.top + 8 + 16 * i));
  }

  /** The levels of f(x) + gᵀp + ½ pᵀHp around x, and its lowest point where it has one. */
  private model(c: CanvasRenderingContext2D, field: Field, x: number[], g: number[], H: Float32Array, f: number): void {
    const n = 61, [left, right, low, high] = field.window, z = new Float32Array(n * n);
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) {
        const p = left + (i / (n - 1)) * (right - left) - x[0], q = low + (j / (n - 1)) * (high - low) - x[1];
        z[j * n + i] = f + g[0] * p + g[1] * q + 0.5 * (H[0] * p * p + 2 * H[1] * p * q + H[3] * q * q);
      }
    }
    const det = H[0] * H[3] - H[1] * H[2], step = [-(H[3] * g[0] - H[1] * g[1]) / det, -(H[0] * g[1] - H[2] * g[0]) / det];
    const convex = det > 0 && H[0] > 0;
    const bottom = convex ? f + 0.5 * (g[0] * step[0] + g[1] * step[1]) : f;
    const drop = Math.max(f - bottom, 1e-9);
    c.strokeStyle = css("--accent");
    c.setLineDash([4, 3]);
    c.lineWidth = 1.3;
    const levels = convex ? [0.04, 0.25, 0.6, 1, 2].map((s) => bottom + s * drop) : [-4, -2, -1, -0.3, 0, 0.3, 1, 2].map((s) => f + s);
    const b = this.box();
    for (const level of levels) {
      const s = segments(z, n, level);
      c.beginPath();
      for (let i = 0; i < s.length; i += 4) {
        c.moveTo(b.left + (s[i] / (n - 1)) * b.w, b.top + b.h - (s[i + 1] / (n - 1)) * b.h);
        c.lineTo(b.left + (s[i + 2] / (n - 1)) * b.w, b.top + b.h - (s[i + 3] / (n - 1)) * b.h);
      }
      c.stroke();
    }
    c.setLineDash([]);
    if (Number.isFinite(step[0] + step[1])) {
      const tip = this.place(field, x[0] + step[0], x[1] + step[1]), at = this.place(field, x[0], x[1]);
      this.arrow(c, at, [tip[0] - at[0], tip[1] - at[1]], css("--accent"), "");
      c.font = "600 12px system-ui, sans-serif";
      c.textAlign = "center";
      c.textBaseline = "top";
      // Beneath: the arrows that go downhill have theirs at the tip.
      this.label(c, convex ? "model's minimum" : "model's saddle", tip[0], tip[1] + 8);
    }
  }

  /** A vector of the plane as a direction on the canvas, `length` pixels long. */
  private direction(field: Field, v: [number, number], length: number): [number, number] {
    const b = this.box(), [left, right, low, high] = field.window;
    const x = (v[0] / (right - left)) * b.w, y = (-v[1] / (high - low)) * b.h, size = Math.hypot(x, y) || 1;
    return [(x / size) * length, (y / size) * length];
  }

  private arrow(c: CanvasRenderingContext2D, at: number[], by: [number, number], colour: string, text: string): void {
    const size = Math.hypot(...by);
    if (!(size > 1)) return;
    const tip = [at[0] + by[0], at[1] + by[1]], u = [by[0] / size, by[1] / size];
    for (const [stroke, width] of [[css("--halo"), 5], [colour, 2.2]] as [string, number][]) {
      c.strokeStyle = stroke;
      c.lineWidth = width;
      c.beginPath();
      c.moveTo(at[0], at[1]);
      c.lineTo(tip[0], tip[1]);
      c.moveTo(tip[0] - 8 * u[0] + 5 * u[1], tip[1] - 8 * u[1] - 5 * u[0]);
      c.lineTo(tip[0], tip[1]);
      c.lineTo(tip[0] - 8 * u[0] - 5 * u[1], tip[1] - 8 * u[1] + 5 * u[0]);
      c.stroke();
    }
    c.font = "600 12px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    this.label(c, text, tip[0] + 12 * u[0], tip[1] + 12 * u[1]);
  }

  private ellipse(c: CanvasRenderingContext2D, at: number[], rx: number, ry: number, colour: string): void {
    c.strokeStyle = colour;
    c.lineWidth = 1.6;
    c.setLineDash([5, 4]);
    c.beginPath();
    c.ellipse(at[0], at[1], Math.min(rx, 1e4), Math.min(ry, 1e4), 0, 0, 7);
    c.stroke();
    c.setLineDash([]);
  }

  /** A text that stays inside the map. */
  private label(c: CanvasRenderingContext2D, text: string, x: number, y: number): void {
    const b = this.box(), wide = c.measureText(text).width, back = c.textAlign === "center" ? wide / 2 : 0;
    x = Math.min(b.left + b.w - wide - 4, Math.max(b.left + 4, x - back)) + back;
    y = Math.min(b.top + b.h - 18, Math.max(b.top + 8, y));
    c.lineJoin = "round";
    c.strokeStyle = css("--halo");
    c.lineWidth = 4;
    c.strokeText(text, x, y);
    c.fillStyle = css("--ink");
    c.fillText(text, x, y);
  }

  /** What is under the pointer, in words. */
  words(view: View, px: number, py: number): string {
    if (!view.field) return "";
    const [x, y] = this.point(view.field, px, py), f = valueAt(view.field, x, y);
    return Number.isNaN(f) ? "" : `(${short(x)}, ${short(y)})   f = ${short(f)}`;
  }
}

let stamps = 0;
const stamped = new WeakMap<object, number>();

function stamp(value: object): number {
  if (!stamped.has(value)) stamped.set(value, ++stamps);
  return stamped.get(value)!;
}

/** The line through the points from one to another, without those that lie within a pixel of the one before; NaN breaks it. */
export function trace(c: CanvasRenderingContext2D, px: Float32Array, from: number, to: number): void {
  c.beginPath();
  let x = NaN, y = NaN;
  for (let k = from; k <= to; k++) {
    const a = px[2 * k], b = px[2 * k + 1];
    if (Number.isNaN(x)) c.moveTo(a, b);
    else if (k < to && Math.abs(a - x) + Math.abs(b - y) < 1) continue;
    else c.lineTo(a, b);
    [x, y] = [a, b];
  }
}

/** The place at a fractional step. */
export function between(px: Float32Array, at: number): [number, number] {
  const k = Math.min(Math.floor(at), px.length / 2 - 1), w = at - k;
  const next = Math.min(k + 1, px.length / 2 - 1);
  return [px[2 * k] * (1 - w) + px[2 * next] * w, px[2 * k + 1] * (1 - w) + px[2 * next + 1] * w];
}

export function ticks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / count, base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((s) => s * base).find((s) => s >= raw)!;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) out.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return out;
}
