// Small helpers: elements, numbers as people read them, sliders.

type Child = Node | string | null | undefined | false;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, any> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** A sample of a pen's line. */
export function swatch(pen: { colour: string; dash: number[] }): HTMLElement {
  const line = `<line x1="0" y1="3" x2="22" y2="3" stroke="${pen.colour}" stroke-width="3" stroke-dasharray="${pen.dash.join(" ")}"/>`;
  const out = h("span", { class: "swatch" });
  out.innerHTML = `<svg width="22" height="6" aria-hidden="true">${line}</svg>`;
  return out;
}

/** A number in few characters: 0.0123, 1.2e−5, 340. */
export function short(v: number, digits = 3): string {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "–" : v > 0 ? "∞" : "−∞";
  const a = Math.abs(v);
  let text: string;
  if (a !== 0 && (a < 1e-3 || a >= 1e5)) {
    const [mantissa, exponent] = v.toExponential(Math.max(0, digits - 2)).split("e");
    text = `${mantissa.replace(/\.0+$/, "")}e${Number(exponent)}`;
  } else text = String(Number(v.toPrecision(digits)));
  return text.replace(/-/g, "−");
}

export interface Range { low: number; high: number; log: boolean }

const NOTCHES = 1000;

export function toNotch(v: number, r: Range): number {
  const [low, high] = span(r);
  if (r.log && v <= 0) return 0;
  const t = r.log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
  return Math.round(NOTCHES * Math.min(1, Math.max(0, t)));
}

export function fromNotch(notch: number, r: Range): number {
  const [low, high] = span(r);
  const t = notch / NOTCHES;
  const v = r.log ? low * (high / low) ** t : low + t * (high - low);
  return Number(v.toPrecision(3));
}

function span(r: Range): [number, number] {
  return r.log ? [Math.max(r.low, r.high * 1e-12), r.high] : [r.low, r.high];
}

/** A slider with its label and a number field beside it; both speak to `change`. */
export function slider(
  id: string, label: string, title: string, range: Range, value: number, change: (v: number) => void,
): { row: HTMLElement; set: (v: number) => void } {
  const bar = h("input", {
    type: "range", id, min: 0, max: NOTCHES, step: 1, value: toNotch(value, range), title, "aria-label": title,
  });
  const box = h("input", { type: "text", inputmode: "decimal", class: "number", "aria-label": `${title}, as a number`, value: short(value) });
  const say = () => bar.setAttribute("aria-valuetext", box.value);
  bar.addEventListener("input", () => {
    const v = fromNotch(Number(bar.value), range);
    box.value = short(v);
    say();
    change(v);
  });
  box.addEventListener("change", () => {
    const v = Number(box.value.replace(/−/g, "-"));
    if (!Number.isFinite(v)) return;
    bar.value = String(toNotch(v, range));
    say();
    change(v);
  });
  say();
  const row = h("div", { class: "slider" }, h("label", { for: id, title }, label), bar, box);
  return {
    row,
    set: (v) => {
      bar.value = String(toNotch(v, range));
      if (document.activeElement !== box) box.value = short(v);
      say();
    },
  };
}

/** A canvas as large as its box in device pixels; returns the drawing context in CSS pixels. */
export function fit(canvas: HTMLCanvasElement): { c: CanvasRenderingContext2D; w: number; h: number } {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const w = canvas.clientWidth, height = canvas.clientHeight;
  const pw = Math.max(1, Math.round(w * ratio)), ph = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== pw || canvas.height !== ph) {
    canvas.width = pw;
    canvas.height = ph;
  }
  const c = canvas.getContext("2d")!;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { c, w, h: height };
}
