// The rule in the lecture's symbols, and the same lines with this step's numbers in the symbols' places.
import { h, short } from "./dom";
import type { MethodInfo, Run, Runs, Values } from "./types";

type Table = Map<string, string>;
type Numbers = ArrayLike<number>;

function vector(v: Numbers): string {
  const t = Array.from(v, (n) => short(n, 3));
  if (t.length === 1) return t[0];
  if (t.length === 4) return `[${t[0]} ${t[1]}; ${t[2]} ${t[3]}]`;
  return `(${t.join(", ")})`;
}

/** The letter that a field of the state has in the formulae. */
export function letter(method: MethodInfo, field: string, size: number): string {
  if (field === "memory" && size === 4) return "H";
  if (field === "control") return method.sliders.some((s) => s.symbol === "Δ₀") ? "Δ" : "ν";
  return { lam: "λ", damping: "λ", radius: "Δ", x0: "θ₀" }[field] ?? field;
}

/** What each symbol stands for in the step from k to k + 1; only what the rule itself has, so that no letter is taken for another. */
function table(method: MethodInfo, run: Run, runs: Runs, k: number, values: Values): Table {
  const told: Table = new Map(), rule = method.rule.join("\n"), has = (text: string) => rule.includes(text);
  const tell = (name: string, v: Numbers) => told.set(name, vector(v));
  const pair = (all: Float32Array, i: number) => Array.from(all.subarray(2 * i, 2 * i + 2));
  const next = Math.min(k + 1, run.nit);
  const given: Values = {};
  for (const s of method.sliders) given[s.name] = values[s.name] ?? s.default;
  for (const s of method.sliders) {
    if (!s.symbol || s.name === "power") continue;
    if (s.step_size) given[s.name] /= (k + 1) ** (given.power ?? 0);
    told.set(s.symbol, short(given[s.name]));
  }
  const x = pair(run.x, k), moved = pair(run.x, next), g = pair(run.g, k), by = moved.map((v, i) => v - x[i]);
  for (const name of ["θ", "x"]) {
    if (!has(`${name}⁺`)) continue;
    tell(name, x);
    tell(`${name}⁺`, moved);
  }
  for (const name of ["g", "∇L(θ)", "∇f(x)", "G", "Jᵀr"]) tell(name, g);
  tell("g⁺", pair(run.g, next));
  const H = runs.curvature.subarray(4 * k, 4 * k + 4);
  for (const name of ["JᵀJ", "∇²f(x)"]) tell(name, H);
  for (const name of ["H", "B"]) if (has(`${name} = ∇²f(x)`)) tell(name, H);
  told.set("ᵗ", raised(k + 1));
  const state = (field: string, i: number): number[] => {
    const s = runs.state[field];
    return s ? Array.from(s.rows.subarray(s.size * i, s.size * (i + 1))) : [];
  };
  for (const [field, { size }] of Object.entries(runs.state)) {
    const name = letter(method, field, size);
    if ("mv".includes(name) && !has(`${name}⁺`)) continue;
    tell(name, state(field, k));
    tell(`${name}⁺`, state(field, next));
    if (k > 0) tell(`${name}₋`, state(field, k - 1));
  }
  if (k > 0) tell("g₋", pair(run.g, k - 1));
  if (runs.state.m && given.b1 !== undefined) tell("m̂", state("m", next).map((v) => v / (1 - given.b1 ** (k + 1))));
  if (runs.state.v && given.b2 !== undefined) tell("v̂", state("v", next).map((v) => v / (1 - given.b2 ** (k + 1))));
  // What a rule takes a name for on the way, out of what it starts from and ends with.
  const p = runs.state.p ? state("p", k) : has("− t ∇f(x)") ? g : null;
  if (p && !has("P(x − t g)")) tell("t", [Math.hypot(...by) / Math.hypot(...p)]);
  else if (!p && has("x⁺ = x + p")) tell("p", by);
  const v = state("v", k), lr = given.lr, ahead = (name: string, at: number[]) => {
    tell(name, at);
    return at;
  };
  if (has("θ̃ ")) {
    ahead("θ̃", x.map((a, i) => a + given.beta * v[i]));
    tell("∇L(θ̃)", v.map((a, i) => (given.beta * a - state("v", next)[i]) / lr));
    tell("θ̃⁺", moved.map((a, i) => a + given.beta * state("v", next)[i]));
  }
  if (has("Δ  =")) tell("Δ", by.map((a) => a / lr));
  if (has("c  = β₁ m")) tell("c", state("m", k).map((a, i) => given.b1 * a + (1 - given.b1) * g[i]));
  if (has("m̄ = β₁ m⁺")) tell("m̄", state("m", next).map((a, i) => (given.b1 * a) / (1 - given.b1 ** (k + 2)) + ((1 - given.b1) * g[i]) / (1 - given.b1 ** (k + 1))));
  if (has("y  = (1 − β) z + β x")) {
    const z = state("z", k), y = ahead("y", z.map((a, i) => (1 - given.beta) * a + given.beta * x[i]));
    const scale = state("v", next).map((a) => Math.sqrt(a / (1 - given.b2 ** (k + 1))) + given.eps);
    tell("g", z.map((a, i) => ((a - state("z", next)[i]) / lr - given.decay * y[i]) * scale[i]));
    told.set("w", short(state("largest", next)[0] ** 2));
    tell("c", [state("largest", next)[0] ** 2 / state("total", next)[0]]);
  }
  if (has("λD²")) {
    // The λ of the state is that from which the next search starts; the step itself tells which was taken.
    const D = state("D", k), Hp = [H[0] * by[0] + H[1] * by[1], H[2] * by[0] + H[3] * by[1]];
    const over = by.reduce((sum, b, i) => sum + (D[i] * b) ** 2, 0);
    tell("λ", [over > 0 ? Math.max(0, -by.reduce((sum, b, i) => sum + b * (g[i] + Hp[i]), 0) / over) : 0]);
  }
  if (has("γ  = α d")) {
    tell("γ", [(lr * state("d", k)[0] * Math.sqrt(1 - given.b2 ** (k + 1))) / (1 - given.b1 ** (k + 1))]);
    tell("β₃", [Math.sqrt(given.b2)]);
  }
  return told;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = (n: number) => [...String(n)].map((d) => RAISED[Number(d)]).join("");

// A symbol: a letter with its marks and subscripts, perhaps with ⁺; ∇L(θ) and the like are symbols as they stand.
// Letters inside words are none.
const SYMBOL = /∇L\(θ̃?\)|∇²?f\(x\)|JᵀJ|Jᵀr|(?:[α-ωΑ-Ω]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z]))[̀-ͯ]*[₀-₉ₐ-ₜᵢⱼ₋ᶜ]*⁺?|ᵗ/gu;

/** The line with numbers, or nothing where there are none to fill in. */
function filled(line: string, told: Table): string {
  // Remarks stand behind the formulae: without an equals sign, or for one case of several, which need not be this step's.
  const parts = line.split(/ {2,}/).filter((part) => /[=≤≥≈:]/.test(part) && !/^(where|else|until|for|t from)\b/.test(part) && !(/ where /.test(part) && !part.startsWith("x⁺")));
  let count = 0;
  const put = parts.map((part) => part.replace(/ where .*/, "").replace(SYMBOL, (symbol, at: number, whole: string) => {
    const value = told.get(symbol);
    if (value === undefined) return symbol;
    count++;
    // Two numbers side by side are a product.
    const before = whole[at - 1] ?? " ", after = whole[at + symbol.length] ?? " ";
    return (symbol !== "ᵗ" && /[\p{L}\d½¼]/u.test(before) ? "·" : "") + value + (symbol !== "ᵗ" && /\d$/.test(value) && after === "I" ? "·" : "");
  }));
  return count ? put.join("      ").replace(/[,;]\s*$/, "") : "";
}

/** The panel's content. */
export function explain(method: MethodInfo, run: Run | undefined, runs: Runs | null, step: number, values: Values, noisy: boolean): Node[] {
  const out: Node[] = [h("p", { class: "about" }, method.about)];
  if (!run || !runs || runs.focus !== method.name) return [...out, h("pre", { class: "rule" }, method.rule.join("\n"))];
  const k = Math.min(Math.floor(step), Math.max(0, run.nit - 1)), matrices = method.rule.some((line) => line.includes("Θ"));
  const told: Table = matrices ? new Map() : table(method, run, runs, k, values);
  const list = h("div", { class: "rule" });
  for (const line of method.rule.slice(0, 8)) {
    const aligned = line.replace(/ +=/, " ="), numbers = filled(aligned, told);
    list.append(h("div", { class: "symbols" }, aligned.replace(/ {2,}/g, "      ")));
    if (numbers) list.append(h("div", { class: "numbers" }, numbers));
  }
  out.push(h("p", { class: "step" }, run.nit ? `Step ${k + 1} of ${run.nit}` : "No step was made"), list);
  if (matrices) out.push(h("p", { class: "note" }, "This is the step on matrices; a point of the plane is none, and takes the step of Nadam."));
  const facts = [`f = ${short(run.f[k])}`, `|g| = ${short(Math.hypot(run.g[2 * k], run.g[2 * k + 1]))}`];
  const mentioned = new Set(method.rule.join(" ").match(SYMBOL) ?? []);
  for (const [field, { size, rows }] of Object.entries(runs.state)) {
    const name = letter(method, field, size);
    // What only the code has a name for is nobody's business.
    if (name.length > 2 || (name === "λ" && !method.rule.join().includes("λ"))) continue;
    if (!mentioned.has(name) && !mentioned.has(`${name}⁺`) && size <= 4) facts.push(`${name} = ${vector(rows.subarray(size * k, size * (k + 1)))}`);
  }
  out.push(h("p", { class: "facts" }, facts.join("   ·   ")));
  if (noisy) out.push(h("p", { class: "note" }, "With noise the step is made of the minibatch's gradient; g above is that of f itself."));
  return out;
}
