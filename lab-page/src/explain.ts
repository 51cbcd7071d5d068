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
  if ((field === "memory" || field === "blocks") && size === 4) return "H";
  if (field === "control") return method.sliders.some((s) => s.symbol === "Δ₀") ? "Δ" : "ν";
  return { lam: "λ", damping: "λ", radius: "Δ", x0: "θ₀" }[field] ?? field;
}

// Small linear algebra in the plane; a matrix is [a b; c d].
const dot = (a: Numbers, b: Numbers) => a[0] * b[0] + a[1] * b[1];
const length = (a: Numbers) => Math.hypot(a[0], a[1]);
const plus = (a: Numbers, b: Numbers, scale = 1) => [a[0] + scale * b[0], a[1] + scale * b[1]];
const times = (M: Numbers, v: Numbers) => [M[0] * v[0] + M[1] * v[1], M[2] * v[0] + M[3] * v[1]];
const inverse = (M: Numbers) => {
  const det = M[0] * M[3] - M[1] * M[2];
  return [M[3] / det, -M[1] / det, -M[2] / det, M[0] / det];
};

/** D, in which the length of a step is measured: what the run remembers, the largest root of the Hessian's diagonal so far, or 1. */
export function units(method: MethodInfo, runs: Runs, k: number): number[] {
  const D = runs.state.D;
  if (D) return Array.from(D.rows.subarray(2 * k, 2 * k + 2));
  if (!method.rule.some((line) => line.includes("subject to |D p| ≤ Δ"))) return [1, 1];
  const largest = [0, 3].map((at) => {
    let most = 0;
    for (let i = 0; i <= k; i++) most = Math.max(most, Math.sqrt(Math.abs(runs.curvature[4 * i + at])));
    return most;
  });
  return largest.map((v) => v || Math.max(...largest) || 1);
}

/** The λ that the step from k to k + 1 took, by (JᵀJ + λD²) p = −Jᵀr; that of the state is where the next search starts. */
export function damping(run: Run, runs: Runs, k: number): number {
  const pair = (all: Float32Array, i: number) => all.subarray(2 * i, 2 * i + 2), next = Math.min(k + 1, run.nit);
  const p = plus(pair(run.x, next), pair(run.x, k), -1), D = pair(runs.state.D.rows, k), over = (D[0] * p[0]) ** 2 + (D[1] * p[1]) ** 2;
  const H = runs.curvature.subarray(4 * k, 4 * k + 4);
  return over > 0 ? Math.max(0, -dot(p, plus(pair(run.g, k), times(H, p))) / over) : 0;
}

/** What each symbol stands for in the step from k to k + 1; only what the rule itself has, so that no letter is taken for another. */
function table(method: MethodInfo, run: Run, runs: Runs, k: number, values: Values): Table {
  const told: Table = new Map(), rule = method.rule.join("\n"), has = (text: string) => rule.includes(text);
  // Where the last steps are too short for float32, the letter stays.
  const tell = (name: string, v: Numbers | number) => {
    const all = typeof v === "number" ? [v] : v;
    if (!Array.from(all).some(Number.isNaN)) told.set(name, vector(all));
  };
  // Numbers for the whole line that begins so.
  const line = (begin: string, numbers: string) => told.set(`line ${begin}`, numbers.includes("–") ? "" : numbers);
  const pair = (all: Float32Array, i: number) => Array.from(all.subarray(2 * i, 2 * i + 2));
  const next = Math.min(k + 1, run.nit);
  const given: Values = {};
  for (const s of method.sliders) given[s.name] = values[s.name] ?? s.default;
  for (const s of method.sliders) {
    if (!s.symbol || s.name === "power") continue;
    if (s.step_size) given[s.name] /= (k + 1) ** (given.power ?? 0);
    told.set(s.symbol, short(given[s.name]));
  }
  const x = pair(run.x, k), moved = pair(run.x, next), g = pair(run.g, k), by = plus(moved, x, -1), dg = plus(pair(run.g, next), g, -1);
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
  const p = runs.state.p ? state("p", k) : has("− t ∇f(x)") ? g : null, t = p ? length(by) / length(p) : NaN;
  if (p && !has("P(x − t g)")) tell("t", t);
  else if (!p && has("x⁺ = x + p")) tell("p", by);
  const v = state("v", k), lr = given.lr, ahead = (name: string, at: number[]) => {
    tell(name, at);
    return at;
  };
  if (has("θ̃ ")) {
    ahead("θ̃", plus(x, v, given.beta));
    tell("∇L(θ̃)", v.map((a, i) => (given.beta * a - state("v", next)[i]) / lr));
    tell("θ̃⁺", plus(moved, state("v", next), given.beta));
  }
  if (has("Δ  =")) tell("Δ", by.map((a) => a / lr));
  if (has("c  = β₁ m")) tell("c", state("m", k).map((a, i) => given.b1 * a + (1 - given.b1) * g[i]));
  if (has("m̄ = β₁ m⁺")) tell("m̄", state("m", next).map((a, i) => (given.b1 * a) / (1 - given.b1 ** (k + 2)) + ((1 - given.b1) * g[i]) / (1 - given.b1 ** (k + 1))));
  if (has("y  = (1 − β) z + β x")) {
    const z = state("z", k), y = ahead("y", z.map((a, i) => (1 - given.beta) * a + given.beta * x[i]));
    const scale = state("v", next).map((a) => Math.sqrt(a / (1 - given.b2 ** (k + 1))) + given.eps);
    tell("g", z.map((a, i) => ((a - state("z", next)[i]) / lr - given.decay * y[i]) * scale[i]));
    tell("w", state("largest", next)[0] ** 2);
    tell("c", state("largest", next)[0] ** 2 / state("total", next)[0]);
  }
  if (has("γ  = α d")) {
    tell("γ", (lr * state("d", k)[0] * Math.sqrt(1 - given.b2 ** (k + 1))) / (1 - given.b1 ** (k + 1)));
    tell("β₃", Math.sqrt(given.b2));
  }
  const predicted = -(dot(g, by) + 0.5 * dot(by, times(H, by))), fell = run.f[k] - run.f[next];
  if (has("(JᵀJ + λ")) {
    const D = state("D", k);
    tell("λ", damping(run, runs, k));
    tell("ϱ", predicted > 0 ? fell / predicted : 1);
    tell("Dⱼ", D);
    tell("Dⱼ⁺", state("D", next));
    tell("‖Jⱼ‖", [0, 3].map((i) => Math.sqrt(Math.max(0, runs.curvature[4 * next + i]))));
  }
  if (has("diag(λ)")) {
    const middle = (H[0] + H[3]) / 2, half = Math.hypot((H[0] - H[3]) / 2, H[1]), turn = Math.atan2(2 * H[1], H[0] - H[3]) / 2;
    tell("λ", [middle + half, middle - half]);
    // What is nothing but rounding is 0.
    const clean = (v: number, unit: number) => (Math.abs(v) < 1e-6 * Math.abs(unit) ? 0 : v);
    tell("Q", [Math.cos(turn), -Math.sin(turn), Math.sin(turn), Math.cos(turn)].map((v) => clean(v, 1)));
    const model = clean(run.f[k] + dot(g, p!) + 0.5 * dot(p!, times(H, p!)), run.f[k]);
    line("f(x + p)", `f(x + p) ≈ ${short(run.f[k])} + ${vector(g)}ᵀ·${vector(p!)} + ½ ${vector(p!)}ᵀ·${vector(H)} ${vector(p!)} = ${short(model)}`);
  }
  if (has("subject to |D p| ≤ Δ")) {
    // Rejected steps shorten the radius between two rows; a step that stops short of the model's minimum ends at it.
    const whole = times(inverse(H), g).map((a) => -a), inside = length(plus(by, whole, -1)) < 1e-3 * length(by), D = units(method, runs, k);
    tell("D", [D[0], 0, 0, D[1]]);
    if (!inside) tell("Δ", Math.hypot(D[0] * by[0], D[1] * by[1]));
    line("ρ =", predicted > 0 ? `${short(fell / predicted)} = (${short(run.f[k])} − ${short(run.f[next])}) / ${short(predicted)}` : "");
  }
  if (has("p_C = ")) dogleg();
  if (has("β_HZ")) {
    const y = state("y", k), before = k ? state("p", k - 1) : [0, 0], slope = dot(before, y), g0 = plus(g, y, -1);
    const hz = dot(plus(y, before, (-2 * dot(y, y)) / slope), g) / slope, eta = -1 / (length(before) * Math.min(0.01, length(g0)));
    if (k) {
      tell("g₋", g0);
      tell("β_HZ", hz);
      tell("η", eta);
      tell("β", slope > 0 ? Math.max(hz, eta) : 0);
    } else {
      line("p = ", `${vector(p!)} = −${vector(g)}`);
      line("β = ", "β = 0 in the first step");
    }
  }
  // The first update begins with γ I, γ = sᵀy / yᵀy, in place of I.
  const first = dot(by, dg) / dot(dg, dg);
  if (has("s = x⁺ − x")) {
    tell("s", by);
    tell("y", dg);
    tell("ρ", 1 / dot(dg, by));
    if (!k) told.set("first H", vector([first, 0, 0, first]));
  }
  if (has("φ v vᵀ")) {
    const M = k ? state("memory", k) : [first, 0, 0, first], ys = dot(by, dg), u = times(M, dg), yu = dot(dg, u);
    const b = dot(by, times(inverse(M), by)) / ys, h = yu / ys, a = Math.max(b * h - 1, 1e-12), c = Math.sqrt(a / (1 + a));
    const rho = Math.min(1, h * (1 - c)), theta = Math.max((rho - 1) / a, Math.min(1 / rho, (1 - b) / b)), sigma = 1 + a * theta;
    const phi = (1 - theta) / sigma, least = Math.min(1, 1 / b);
    const tau = theta > 0 ? least * Math.min(1 / sigma, 1 / theta) : Math.min(least / sigma, sigma);
    const all: [string, Numbers | number][] = [["s", by], ["y", dg], ["H", M], ["b", b], ["h", h], ["a", a], ["c", c], ["ρ", rho],
      ["θ", theta], ["σ", sigma], ["φ", phi], ["τ", tau], ["n", 2]];
    for (const [name, v] of all) tell(name, v);
    tell("v", plus(by.map((v) => v / ys), u, -1 / yu).map((v) => v * Math.sqrt(yu)));
    const put = [tau, b, sigma, theta].map((v) => short(v));
    line("τ =", theta > 0 ? `${put[0]} = min(1, 1/${put[1]}) min(1/${put[2]}, 1/${put[3]})` : `${put[0]} = min(min(1, 1/${put[1]}) / ${put[2]}, ${put[2]})`);
  }
  if (has("(sₖ₋ₘ, yₖ₋ₘ)")) twoLoops();
  if (has("W M Wᵀ")) {
    const { gamma, H } = remembered(run, k), B = inverse(H), reach = dot(g, g) / dot(g, times(B, g)), end = plus(x, p!);
    line("B = ", `θ = ${short(1 / gamma)},   B = ${vector(B)}`);
    line("xᶜ = ", `${vector(plus(x, g, -reach))} = ${vector(x)} − ${short(reach)} ${vector(g)}`);
    line("x̄ = ", `x̄ = ${vector(end)}, with both elements free`);
    tell("x̄", end);
    tell("t", t);
  }
  return told;

  function dogleg(): void {
    const D = state("D", k), scaled = g.map((v, i) => v / D[i]), along = scaled.map((v, i) => v / D[i]), bend = dot(along, times(H, along));
    const cauchy = along.map((v) => (-v * dot(scaled, scaled)) / bend), newton = times(inverse(H), g).map((v) => -v);
    const long = (v: Numbers) => Math.hypot(D[0] * v[0], D[1] * v[1]), [N, C] = [long(newton), long(cauchy)].map((v) => short(v));
    tell("p_C", cauchy);
    tell("p_N", newton);
    line("p_C = ", `${vector(cauchy)} = −(${short(dot(scaled, scaled))} / ${short(bend)}) ${vector(along)},   g̃ = ${vector(scaled)}`);
    // Of the three cases the one of this step. The radius was shortened where trials were rejected: the step ends at it.
    const whole = length(plus(by, newton, -1)) < 1e-3 * length(by), radius = short(whole ? Math.abs(state("control", k)[0]) : long(by));
    const off = (by[0] * cauchy[1] - by[1] * cauchy[0]) / (length(by) * length(cauchy));
    line("‖D p_N‖", whole ? `${N} ≤ ${radius}: p = ${vector(by)}` : "");
    line("‖D p_C‖", !whole && Math.abs(off) < 1e-4 ? `${C} ≥ ${radius}: ${vector(by)} = ${radius} ${vector(cauchy)} / ${C}` : "");
    const way = plus(newton, cauchy, -1);
    line("else", !whole && Math.abs(off) >= 1e-4
      ? `${vector(by)} = ${vector(cauchy)} + ${short(length(plus(by, cauchy, -1)) / length(way))} (${vector(newton)} − ${vector(cauchy)}), ‖D p‖ = ${radius}` : "");
  }

  function twoLoops(): void {
    const { pairs, gamma, H } = remembered(run, k), alphas: number[] = [], betas: number[] = [];
    let q = g;
    for (const { s, y } of [...pairs].reverse()) {
      alphas.unshift(dot(s, q) / dot(y, s));
      q = plus(q, y, -alphas[0]);
    }
    const between = q.map((v) => gamma * v);
    let r = between;
    pairs.forEach(({ s, y }, i) => {
      betas.push(dot(y, r) / dot(y, s));
      r = plus(r, s, alphas[i] - betas[i]);
    });
    const list = (all: number[]) => all.map((v) => short(v)).join(", ");
    line("p = −H g", `${vector(p!)} = −${vector(H)} ${vector(g)},   γ = ${short(gamma)}, pairs: ${pairs.length}`);
    line("for the pairs from the last", pairs.length ? `α = ${list([...alphas].reverse())};   q = ${vector(q)}` : "there are no pairs yet");
    line("for the pairs from the first", pairs.length ? `β = ${list(betas)};   r = ${vector(r)}` : "there are no pairs yet");
    tell("q", g);
    line("r = D q", `${vector(between)} = ${short(gamma)} ${vector(q)}`);
    line("p = −r", `${vector(p!)} = −${vector(r)}`);
    line("1 / D⁺ᵢ = ", `not in use here: D = ${vector([gamma, 0, 0, gamma])}`);
  }
}

const PAIRS = 10;

/** What L-BFGS remembers before step k: the last pairs of positive curvature, γ of the newest, and the matrix that they make of γ I. */
function remembered(run: Run, k: number): { pairs: { s: number[]; y: number[] }[]; gamma: number; H: number[] } {
  const pairs: { s: number[]; y: number[] }[] = [], of = (all: Float32Array, i: number) => plus(all.subarray(2 * i + 2, 2 * i + 4), all.subarray(2 * i, 2 * i + 2), -1);
  for (let i = k - 1; i >= 0 && pairs.length < PAIRS; i--) {
    const s = of(run.x, i), y = of(run.g, i);
    if (dot(s, y) > 0) pairs.unshift({ s, y });
  }
  const last = pairs[pairs.length - 1], gamma = last ? dot(last.s, last.y) / dot(last.y, last.y) : 1;
  let H = [gamma, 0, 0, gamma];
  for (const { s, y } of pairs) {
    const rho = 1 / dot(y, s), u = times(H, y), more = rho * (1 + rho * dot(y, u));
    H = [0, 1, 2, 3].map((i) => {
      const [a, b] = [i >> 1, i & 1];
      return H[i] - rho * (s[a] * u[b] + u[a] * s[b]) + more * s[a] * s[b];
    });
  }
  return { pairs, gamma, H };
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = (n: number) => [...String(n)].map((d) => RAISED[Number(d)]).join("");

// A symbol: a letter with its marks and subscripts, perhaps with ⁺; ∇L(θ) and the like are symbols as they stand.
// Letters inside words are none.
const SYMBOL = /∇L\(θ̃?\)|∇²?f\(x\)|JᵀJ|Jᵀr|‖Jⱼ‖|(?:[α-ωΑ-Ωϱ]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z]))[̀-ͯ]*(?:_[A-Z]+|[₀-₉ₐ-ₜᵢⱼ₋ᶜ]*)⁺?|ᵗ/gu;

/** The line with numbers, or nothing where there are none to fill in. */
function filled(line: string, told: Table): string {
  for (const [begin, numbers] of told) if (begin.startsWith("line ") && line.startsWith(begin.slice(5))) return numbers;
  if (told.has("first H") && line.startsWith("H⁺")) told = new Map([...told, ["H", told.get("first H")!]]);
  // Remarks stand behind the formulae: without an equals sign, or for one case of several, which need not be this step's.
  const parts = line.split(/ {2,}/).filter((part) => /[=≤≥≈:]/.test(part) && !/^(where|else|until|for|t from)\b/.test(part) && !(/ where /.test(part) && !part.startsWith("x⁺")));
  let count = 0;
  const put = parts.map((part) => part.replace(/ where .*/, "").replace(SYMBOL, (symbol, at: number, whole: string) => {
    const value = told.get(symbol);
    if (value === undefined) return symbol;
    count++;
    if (symbol === "ᵗ") return value;
    // Two numbers side by side are a product; what is less than nothing stands in brackets behind something.
    const before = whole.slice(0, at), after = whole[at + symbol.length] ?? " ", single = !/^[[(]/.test(value);
    const product = /[\p{L}\d½¼]$/u.test(before) ? "·" : single && /[\p{L}\p{No}\d⁺)] $/u.test(before) && !/(\p{L}{2,}|Σ) $/u.test(before) ? "· " : "";
    const number = value.startsWith("−") && /[^\s([{=,|:≤≥]\s*$/u.test(before) ? `(${value})` : value;
    return product + number + (single && after === "I" ? "·" : "");
  })).map((part, i) => {
    const [left, right, ...more] = part.split(" = ");
    return left === right && !more.length ? `${parts[i].split(" = ")[0]} = ${right}` : part;
  });
  return count ? put.join("      ").replace(/[,;]\s*$/, "") : "";
}

/** The panel's content. */
export function explain(
  method: MethodInfo, run: Run | undefined, runs: Runs | null, step: number, values: Values, noisy: boolean, nadam?: MethodInfo,
): Node[] {
  const out: Node[] = [h("p", { class: "about" }, method.about)];
  if (!run || !runs || runs.focus !== method.name) return [...out, h("pre", { class: "rule" }, method.rule.join("\n"))];
  const k = Math.min(Math.floor(step), Math.max(0, run.nit - 1)), list = h("div", { class: "rule" });
  const write = (rule: string[], told: Table) => {
    for (const line of rule) {
      const aligned = line.replace(/ +=/, " ="), numbers = filled(aligned, told);
      list.append(h("div", { class: "symbols" }, aligned.replace(/ {2,}/g, "      ")));
      if (numbers) list.append(h("div", { class: "numbers" }, numbers));
    }
  };
  const matrices = method.rule.some((line) => line.includes("Θ"));
  if (matrices) {
    write(method.rule, new Map());
    list.append(h("p", { class: "note" }, "This is the step on matrices; a point of the plane is none, and takes Nadam's:"));
    method = { ...method, rule: nadam?.rule ?? [] };
  }
  write(method.rule.slice(0, 8), table(method, run, runs, k, values));
  out.push(h("p", { class: "step" }, run.nit ? `Step ${k + 1} of ${run.nit}` : "No step was made"), list);
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
