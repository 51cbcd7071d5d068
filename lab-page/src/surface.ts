// The 3-D surface: quads from far to near, drawn only when the camera or the field changes; the paths lie over it.
import { css, isDark, ramp } from "./colours";
import { fit } from "./dom";
import { between, trace, type View } from "./map";
import { valueAt } from "./scale";
import type { Field } from "./types";

const CELLS = 56;

export class Surface {
  turn = 0.65;
  tilt = 0.85;
  zoom = 1;
  private base = document.createElement("canvas");
  private baseFor = "";
  private ids = new WeakMap<object, number>();
  private id = 0;

  constructor(readonly canvas: HTMLCanvasElement, private redraw: () => void) {
    let from: [number, number] | null = null;
    canvas.addEventListener("pointerdown", (e) => {
      from = [e.clientX, e.clientY];
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!from) return;
      this.turn += (e.clientX - from[0]) * 0.008;
      this.tilt = Math.min(1.5, Math.max(0.15, this.tilt + (e.clientY - from[1]) * 0.006));
      from = [e.clientX, e.clientY];
      this.redraw();
    });
    canvas.addEventListener("pointerup", () => (from = null));
    canvas.addEventListener("pointercancel", () => (from = null));
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.scale(Math.exp(-e.deltaY * 0.001));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.08], ArrowDown: [0, 0.08] }[e.key];
      if (by) {
        this.turn += by[0];
        this.tilt = Math.min(1.5, Math.max(0.15, this.tilt + by[1]));
      } else if (e.key === "+" || e.key === "-") this.scale(e.key === "+" ? 1.1 : 1 / 1.1);
      else return;
      e.preventDefault();
      e.stopPropagation();
      this.redraw();
    });
  }

  private scale(by: number): void {
    this.zoom = Math.min(3, Math.max(0.5, this.zoom * by));
    this.redraw();
  }

  /** A point of the unit cube on the canvas: x, y from −1 to 1, z from 0 to 1; and how far away it is. */
  private project(x: number, y: number, z: number, w: number, h: number): [number, number, number] {
    const ct = Math.cos(this.turn), st = Math.sin(this.turn), cp = Math.cos(this.tilt), sp = Math.sin(this.tilt);
    const u = ct * x + st * y, v = -st * x + ct * y, up = (z - 0.42) * 1.05;
    const size = Math.min(w / 2.9, h / 2.55) * this.zoom;
    return [w / 2 + size * u, 0.56 * h - size * (v * cp + up * sp), v * sp - up * cp];
  }

  draw(view: View): void {
    const { c, w, h } = fit(this.canvas);
    c.clearRect(0, 0, w, h);
    const { field, heights, runs } = view;
    if (!field || !heights || w < 10) return;
    this.drawBase(view, w, h);
    c.drawImage(this.base, 0, 0, w, h);
    if (!runs) return;
    const [left, right, low, high] = field.window;
    for (const run of [...runs.runs].sort((a, b) => Number(a.name === view.focus) - Number(b.name === view.focus))) {
      const end = Math.min(view.step, run.nit), whole = Math.floor(end), p = view.pens[run.name];
      const px = new Float32Array(2 * (run.nit + 1)).fill(NaN);
      for (let k = 0; k <= Math.min(run.nit, whole + 1); k++) {
        const x = run.x[2 * k], y = run.x[2 * k + 1];
        if (x < left || x > right || y < low || y > high) continue;
        const [a, b] = this.project(
          (2 * (x - left)) / (right - left) - 1, (2 * (y - low)) / (high - low) - 1, heights.of(run.f[k]), w, h);
        px[2 * k] = a;
        px[2 * k + 1] = b;
      }
      trace(c, px, 0, whole);
      const ball = between(px, end);
      if (Number.isFinite(px[2 * whole]) && Number.isFinite(ball[0])) c.lineTo(ball[0], ball[1]);
      c.lineJoin = "bevel";
      c.strokeStyle = css("--halo");
      c.lineWidth = 3.6;
      c.stroke();
      c.strokeStyle = p.colour;
      c.lineWidth = 1.8;
      c.setLineDash(p.dash);
      c.stroke();
      c.setLineDash([]);
      if (!Number.isFinite(ball[0])) continue;
      c.fillStyle = p.colour;
      c.strokeStyle = css("--halo");
      c.lineWidth = 1.5;
      c.beginPath();
      c.arc(ball[0], ball[1], run.name === view.focus ? 5.5 : 4.2, 0, 7);
      c.fill();
      c.stroke();
    }
  }

  private drawBase(view: View, w: number, h: number): void {
    const field = view.field!, heights = view.heights!, dark = isDark();
    if (!this.ids.has(field)) this.ids.set(field, ++this.id);
    const key = [this.canvas.width, this.canvas.height, dark, this.turn, this.tilt, this.zoom, this.ids.get(field)].join();
    if (key === this.baseFor) return;
    this.baseFor = key;
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    const ratio = this.canvas.width / w, c = this.base.getContext("2d")!, n = CELLS;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const z = new Float32Array((n + 1) * (n + 1)), at = new Float32Array(3 * z.length);
    for (let j = 0; j <= n; j++) {
      for (let i = 0; i <= n; i++) {
        const k = j * (n + 1) + i;
        z[k] = heights.of(sample(field, i / n, j / n));
        at.set(this.project((2 * i) / n - 1, (2 * j) / n - 1, z[k], w, h), 3 * k);
      }
    }
    const quads = Array.from({ length: n * n }, (_, q) => Math.floor(q / n) * (n + 1) + (q % n));
    const depth = (q: number) => at[3 * q + 2] + at[3 * (q + n + 2) + 2];
    quads.sort((p, q) => depth(q) - depth(p));
    const mesh = css("--mesh");
    const edge = (p: number, q: number) => {
      c.beginPath();
      c.moveTo(at[3 * p], at[3 * p + 1]);
      c.lineTo(at[3 * q], at[3 * q + 1]);
      c.stroke();
    };
    c.lineWidth = 0.7;
    for (const q of quads) {
      const corners = [q, q + 1, q + n + 2, q + n + 1];
      const mean = (z[corners[0]] + z[corners[1]] + z[corners[2]] + z[corners[3]]) / 4;
      const light = 1 + 1.6 * (z[corners[0]] - z[corners[2]]) + 0.8 * (z[corners[1]] - z[corners[3]]);
      const shade = Math.min(1.12, Math.max(0.72, light));
      const [r, g, b] = ramp(mean, dark).map((v) => Math.min(255, v * shade));
      c.fillStyle = c.strokeStyle = `rgb(${r | 0} ${g | 0} ${b | 0})`;
      c.beginPath();
      corners.forEach((k, i) => (i ? c.lineTo(at[3 * k], at[3 * k + 1]) : c.moveTo(at[3 * k], at[3 * k + 1])));
      c.closePath();
      c.fill();
      c.stroke();
      c.strokeStyle = mesh;
      if ((q % (n + 1)) % 4 === 0) edge(q, q + n + 1);
      if (Math.floor(q / (n + 1)) % 4 === 0) edge(q, q + 1);
    }
  }
}

function sample(field: Field, u: number, v: number): number {
  const [left, right, low, high] = field.window;
  return valueAt(field, left + u * (right - left), low + v * (high - low));
}
