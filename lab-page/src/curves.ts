// Curves over the steps, on a logarithmic axis: one canvas each.
import { css, type Pen } from "./colours";
import { fit, short } from "./dom";
import { ticks } from "./map";

export interface Curve { name: string; pen: Pen; values: ArrayLike<number>; x?: ArrayLike<number>; faint?: boolean }

const LEFT = 46, RIGHT = 14, TOP = 20, BOTTOM = 20;

export class Curves {
  private last: { curves: Curve[]; longest: number } = { curves: [], longest: 1 };
  private pointer: number | null = null;

  constructor(
    readonly canvas: HTMLCanvasElement, private title: string, seek: (step: number) => void, private redraw: () => void,
    private options: { linear?: boolean; lowest?: number } = {},
  ) {
    const at = (e: PointerEvent) => ((e.offsetX - LEFT) / (canvas.clientWidth - LEFT - RIGHT)) * this.last.longest;
    canvas.addEventListener("pointermove", (e) => {
      this.pointer = at(e);
      if (e.buttons) seek(Math.round(Math.min(this.last.longest, Math.max(0, this.pointer))));
      this.redraw();
    });
    canvas.addEventListener("pointerdown", (e) => seek(Math.round(Math.min(this.last.longest, Math.max(0, at(e))))));
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.redraw();
    });
  }

  draw(curves: Curve[], longest: number, step: number): void {
    this.last = { curves, longest: Math.max(1, longest) };
    const { c, w, h } = fit(this.canvas);
    c.clearRect(0, 0, w, h);
    const lowest = this.options.lowest ?? 1e-16, linear = !!this.options.linear;
    let low = Infinity, high = -Infinity;
    for (const { values } of curves) {
      for (let k = 0; k < values.length; k++) {
        const v = values[k];
        if (!Number.isFinite(v) || (!linear && !(v > lowest))) continue;
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    }
    c.font = "600 12px system-ui, sans-serif";
    c.textAlign = "left";
    c.textBaseline = "top";
    c.fillStyle = css("--ink");
    c.fillText(this.title, LEFT, 3);
    if (!(high >= low)) return;
    if (!linear) {
      high = Math.min(high, 1e12);
      low = Math.max(low, high * 1e-18);
    }
    const t = (v: number) => (linear ? v : Math.log10(Math.max(v, lowest)));
    let [b, a] = [t(low), t(high)];
    if (a - b < (linear ? 1e-9 : 0.5)) [b, a] = linear ? [b - 0.5, a + 0.5] : [b - 0.25, a + 0.25];
    const X = (k: number) => LEFT + (k / this.last.longest) * (w - LEFT - RIGHT);
    const Y = (v: number) => TOP + ((a - t(v)) / (a - b)) * (h - TOP - BOTTOM);
    c.font = "11px system-ui, sans-serif";
    c.fillStyle = css("--muted");
    c.strokeStyle = css("--grid");
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    const marks = linear ? ticks(b, a, 4) : decades(b, a);
    for (const mark of marks) {
      const y = TOP + ((a - mark) / (a - b)) * (h - TOP - BOTTOM);
      c.beginPath();
      c.moveTo(LEFT, y);
      c.lineTo(w - RIGHT, y);
      c.stroke();
      c.fillText(linear ? short(mark) : power(mark), LEFT - 5, y);
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const mark of ticks(0, this.last.longest, Math.max(2, Math.min(6, w / 70)))) c.fillText(short(mark, 4), X(mark), h - BOTTOM + 4);
    c.save();
    c.beginPath();
    c.rect(LEFT, TOP - 2, w - LEFT - RIGHT, h - TOP - BOTTOM + 4);
    c.clip();
    for (const { values, x, pen, faint } of curves) {
      c.strokeStyle = pen.colour;
      c.globalAlpha = faint ? 0.3 : 1;
      c.setLineDash(pen.dash);
      c.lineWidth = 1.8;
      c.lineJoin = "bevel";
      c.beginPath();
      let drawn = false;
      for (let k = 0; k < values.length; k++) {
        const v = values[k];
        if (!Number.isFinite(v)) {
          drawn = false;
          continue;
        }
        const at = X(x ? x[k] : k), y = Y(Math.max(v, linear ? v : low));
        if (drawn) c.lineTo(at, y);
        else c.moveTo(at, y);
        drawn = true;
      }
      c.stroke();
    }
    c.globalAlpha = 1;
    c.setLineDash([]);
    const cursor = this.pointer ?? step;
    c.strokeStyle = css("--ink");
    c.globalAlpha = 0.45;
    c.beginPath();
    c.moveTo(X(step), TOP);
    c.lineTo(X(step), h - BOTTOM);
    c.stroke();
    c.globalAlpha = 1;
    for (const { values, x, pen } of curves) {
      if (!values.length) continue;
      let k = Math.min(values.length - 1, Math.max(0, Math.round(x ? 0 : cursor)));
      if (x) while (k + 1 < values.length && x[k + 1] <= cursor) k++;
      if (!Number.isFinite(values[k])) continue;
      c.fillStyle = pen.colour;
      c.beginPath();
      c.arc(X(x ? x[k] : k), Y(Math.max(values[k], linear ? values[k] : low)), 3.2, 0, 7);
      c.fill();
    }
    c.restore();
    if (this.pointer !== null) this.readOut(c, curves, Math.round(this.pointer), w);
  }

  private readOut(c: CanvasRenderingContext2D, curves: Curve[], step: number, w: number): void {
    const rows = curves.slice(0, 12).map(({ name, pen, values, x }) => {
      let k = Math.max(0, Math.min(step, values.length - 1));
      if (x) for (k = 0; k + 1 < values.length && x[k + 1] <= step; ) k++;
      return { pen, text: `${name}  ${short(values[k])}` };
    });
    c.font = "11px system-ui, sans-serif";
    const wide = Math.max(60, ...rows.map((r) => c.measureText(r.text).width)) + 26, x = w - RIGHT - wide;
    c.fillStyle = css("--panel");
    c.globalAlpha = 0.92;
    c.fillRect(x, TOP, wide, 18 + 14 * rows.length);
    c.globalAlpha = 1;
    c.strokeStyle = css("--line");
    c.strokeRect(x, TOP, wide, 18 + 14 * rows.length);
    c.textAlign = "left";
    c.textBaseline = "top";
    c.fillStyle = css("--muted");
    c.fillText(`step ${Math.max(0, step)}`, x + 6, TOP + 3);
    rows.forEach((r, i) => {
      c.fillStyle = r.pen.colour;
      c.fillRect(x + 6, TOP + 22 + 14 * i, 8, 3);
      c.fillStyle = css("--ink");
      c.fillText(r.text, x + 18, TOP + 17 + 14 * i);
    });
  }
}

/** Where lines are drawn, as powers of ten: whole ones, and 2 and 5 between them where there are few. */
function decades(low: number, high: number): number[] {
  if (high - low < 1.6) {
    const fine = [];
    for (let d = Math.floor(low); d <= high; d++) for (const s of high - low < 0.4 ? [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9] : [1, 2, 5]) fine.push(d + Math.log10(s));
    return fine.filter((v) => v >= low && v <= high);
  }
  const every = Math.max(1, Math.ceil((high - low) / 5)), out = [];
  for (let d = Math.ceil(low / every) * every; d <= high; d += every) out.push(d);
  return out.length ? out : [low, high];
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function power(exponent: number): string {
  if (!Number.isInteger(exponent) || (exponent >= -2 && exponent <= 4)) return short(10 ** exponent, 2);
  return `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((d) => RAISED[Number(d)]).join("")}`;
}
