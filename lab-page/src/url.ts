// A link carries the page that is open, whole:
//   #scene=rosenbrock&x=-1.2,1&m=adam~lr:0.1~b1:0.8,newton&n=200&k=30
//   #tab=network&data=circles&width=8&batch=32&m=sgd~lr:0.3,adam&focus=adam&seed=2&k=150&cut=path
//   #tab=linear&size=16&start=waves&m=jacobi,sor~weight:1.7&focus=sor&n=100&k=12
import type { MethodInfo, State, Values } from "./types";

export const EMPTY: State = {
  tab: "playground", scene: "ravine", formula: "", knobs: {}, x0: null, methods: {}, focus: "", steps: 100, batch: 0, seed: 0,
  at: null, overlays: [],
  network: { data: "spirals", width: 16, batch: 32, methods: {}, focus: "", seed: 0, at: 0, cut: "", cutSeed: 0 },
  linear: { size: 0, start: "noise", steps: 100, what: "x", methods: {}, focus: "", at: null },
};

export function write(s: State): string {
  const values = (v: Values) => Object.entries(v).map(([k, n]) => `${k}:${n}`).join("~");
  const chosen = (m: Record<string, Values>) => Object.entries(m).map(([name, v]) => (Object.keys(v).length ? `${name}~${values(v)}` : name)).join(",");
  const parts: [string, string | number][] = [];
  // What is as it is by itself is left out.
  const add = (key: string, value: string | number, left: string | number = "") => value !== left && parts.push([key, value]);
  if (s.tab === "network") {
    const n = s.network;
    parts.push(["tab", s.tab], ["data", n.data], ["width", n.width], ["batch", n.batch], ["m", chosen(n.methods)]);
    add("focus", n.focus);
    add("seed", n.seed, 0);
    add("k", n.at, 0);
    add("cut", n.cut);
    if (n.cut === "random") add("cutseed", n.cutSeed, 0);
  } else if (s.tab === "linear") {
    const l = s.linear;
    parts.push(["tab", s.tab], ["size", l.size], ["start", l.start], ["m", chosen(l.methods)]);
    add("focus", l.focus);
    parts.push(["n", l.steps]);
    add("what", l.what, "x");
    if (l.at !== null) parts.push(["k", l.at]);
  } else {
    parts.push(["scene", s.scene]);
    if (s.scene === "typed") parts.push(["f", s.formula]);
    add("knobs", values(s.knobs));
    if (s.x0) parts.push(["x", s.x0.map((v) => Number(v.toPrecision(6))).join(",")]);
    parts.push(["m", chosen(s.methods)]);
    add("focus", s.focus);
    parts.push(["n", s.steps]);
    add("batch", s.batch, 0);
    add("seed", s.seed, 0);
    add("show", s.overlays.join(","));
    if (s.at !== null) parts.push(["k", s.at]);
  }
  return parts.map(([k, v]) => `${k}=${encodeURIComponent(v).replace(/%2C/g, ",").replace(/%3A/g, ":")}`).join("&");
}

/** The state that a link says; what it does not say is as in `EMPTY`. */
export function read(hash: string): State {
  const s = structuredClone(EMPTY), given = new URLSearchParams(hash.replace(/^#/, "").replace(/\+/g, "%2B"));
  const text = (key: string, otherwise: string) => given.get(key) ?? otherwise;
  const whole = <T>(key: string, otherwise: T) => (/^\d{1,9}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : otherwise);
  const pairs = (from: string) => {
    const out: Values = {};
    for (const one of from.split("~")) {
      const [k, v] = one.split(":");
      if (k && v && Number.isFinite(Number(v))) out[k] = Number(v);
    }
    return out;
  };
  const methods: Record<string, Values> = {};
  for (const one of text("m", "").split(",")) {
    const [name, ...rest] = one.split("~");
    if (name) methods[name] = pairs(rest.join("~"));
  }
  s.tab = text("tab", s.tab);
  if (s.tab === "network") {
    const n = s.network;
    s.network = {
      data: text("data", n.data), width: whole("width", n.width), batch: whole("batch", n.batch), methods, focus: text("focus", ""),
      seed: whole("seed", 0), at: whole("k", 0), cut: text("cut", ""), cutSeed: whole("cutseed", 0),
    };
  } else if (s.tab === "linear") {
    const l = s.linear;
    s.linear = {
      size: whole("size", l.size), start: text("start", l.start), steps: whole("n", l.steps), what: text("what", l.what), methods,
      focus: text("focus", ""), at: whole("k", l.at),
    };
  } else {
    s.tab = "playground";
    s.scene = text("scene", s.scene);
    s.formula = text("f", "");
    s.knobs = pairs(text("knobs", ""));
    const x = given.get("x")?.split(",").map(Number);
    if (x?.length === 2 && x.every(Number.isFinite)) s.x0 = [x[0], x[1]];
    s.methods = methods;
    s.focus = text("focus", "");
    s.steps = whole("n", s.steps);
    s.batch = whole("batch", 0);
    s.seed = whole("seed", 0);
    s.at = whole("k", s.at);
    s.overlays = text("show", "").split(",").filter(Boolean);
  }
  return s;
}

/** Of a link's methods and values those that there are. */
export function known(given: Record<string, Values>, infos: Map<string, MethodInfo>): Record<string, Values> {
  const kept = Object.entries(given).filter(([name]) => infos.has(name)).map(([name, values]): [string, Values] => {
    const sliders = infos.get(name)!.sliders.map((s) => s.name);
    return [name, Object.fromEntries(Object.entries(values).filter(([k]) => sliders.includes(k)))];
  });
  return Object.fromEntries(kept);
}
