// What the server says (ravine/lab/meta.py and session.py) and what the page remembers.

export interface Slider {
  name: string; symbol: string; default: number; low: number; high: number; log: boolean; doc: string; step_size?: boolean;
}
export interface MethodInfo {
  name: string; label: string; family: string; residual: boolean; about: string; rule: string[]; sliders: Slider[];
}
export interface Knob { name: string; default: number; low: number; high: number; log: boolean; doc: string }
export interface SceneInfo {
  name: string; title: string; formula: string; why: string; window: number[]; start: [number, number]; knobs: Knob[];
  axes: [string, string]; examples: number; methods: string[];
}
export interface Meta { scenes: SceneInfo[]; methods: MethodInfo[]; network: { data: string[]; methods: string[]; step_sizes: Values };
  linear: { sizes: number[]; starts: string[]; most_steps: number; methods: MethodInfo[] };
  most_steps: number; functions: string[] }

export type Values = Record<string, number>;

/** What the page is at; a link carries that of the page that is open. */
export interface State {
  tab: string;
  scene: string;
  formula: string;
  knobs: Values;
  x0: [number, number] | null;
  methods: Record<string, Values>;
  focus: string;
  steps: number;
  batch: number;
  seed: number;
  at: number | null;
  overlays: string[];
  network: NetworkState;
  linear: LinearState;
}
export interface NetworkState {
  data: string; width: number; batch: number; methods: Record<string, Values>; focus: string; seed: number; at: number; cut: string;
  cutSeed: number;
}
export interface LinearState {
  size: number; start: string; steps: number; what: string; methods: Record<string, Values>; focus: string; at: number | null;
}

export interface Run { name: string; status: string; nit: number; x: Float32Array; f: Float32Array; g: Float32Array }
export interface Runs {
  runs: Run[]; focus: string; curvature: Float32Array; state: Record<string, { size: number; rows: Float32Array }>; longest: number;
}
export interface Field { n: number; window: number[]; minima: number[][]; floor: number | null; values: Float32Array }
