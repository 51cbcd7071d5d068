(() => {
  const state = { axis: data.x_axis, log: true, on: new Set() };
  const names = { iteration: "iterations", work: data.work_unit, seconds: "seconds" };

  // ---- numbers -------------------------------------------------------------------------------------------------------
  const raised = (e) => "10" + String(e).replace(/[-\d]/g, (d) => (d === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]));
  const power = (e) => (e >= -3 && e <= 3 ? String(+(10 ** e).toPrecision(1)) : raised(e));
  const number = (v) => {
    if (!Number.isFinite(v)) return "–";
    if (v === 0) return "0";
    if (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e6) return (+v.toPrecision(4)).toLocaleString("en");
    const [m, e] = v.toExponential(2).split("e");
    return (+m === 1 ? "" : +m + "·") + raised(+e);
  };

  // Values of several seeds on one grid: each seed's last value seen so far.
  const bundled = new Map();
  function bundle(m, axis, measure) {
    const key = [m, axis, measure].join("|");
    if (bundled.has(key)) return bundled.get(key);
    const runs = data.entries[m].curves.map((c) => ({
      x: c[axis].map((v) => v ?? NaN),
      y: (measure === "loss" ? c.loss : c.validation[measure.slice(11)] ?? []).map((v) => v ?? (measure.endsWith("loss") ? Infinity : NaN)),
    })).filter((r) => r.y.length);
    const x = [...new Set(runs.flatMap((r) => r.x.filter(Number.isFinite)))].sort((a, b) => a - b);
    const at = runs.map(() => 0);
    const rows = x.map((v) => {
      const y = runs.map((r, i) => {
        while (at[i] + 1 < r.x.length && r.x[at[i] + 1] <= v) at[i] += 1;
        return r.y[at[i]];
      }).filter((u) => !Number.isNaN(u)).sort((a, b) => a - b);
      return y.length ? [quantile(y, 0.5), quantile(y, data.band[0]), quantile(y, data.band[1])] : [NaN, NaN, NaN];
    });
    const out = { x, middle: rows.map((r) => r[0]), low: rows.map((r) => r[1]), high: rows.map((r) => r[2]) };
    bundled.set(key, out);
    return out;
  }
  function quantile(sorted, q) {
    const p = q * (sorted.length - 1), i = Math.floor(p);
    if (p === i) return sorted[i];
    return sorted[i] + (p - i) * (sorted[i + 1] - sorted[i]);
  }

  // ---- axes ----------------------------------------------------------------------------------------------------------
  class Axis {
    constructor(low, high, begin, end, log) {
      if (log) { low = Math.log10(low); high = Math.log10(high); }
      if (!(high > low)) { const s = Math.abs(low) * 0.1 || 1; low -= s; high += s; }
      Object.assign(this, { low, high, begin, end, log });
    }
    at(v) {
      const u = this.log ? (v > 0 ? Math.log10(v) : this.low - 9) : v;
      const part = (u - this.low) / (this.high - this.low);
      return this.begin + Math.max(-3, Math.min(4, part)) * (this.end - this.begin);
    }
    value(p) {
      const u = this.low + ((p - this.begin) / (this.end - this.begin)) * (this.high - this.low);
      return this.log ? 10 ** u : u;
    }
    ticks(most) {
      if (!this.log) return linear(this.low, this.high, most).map((v) => [v, number(v)]);
      const first = Math.ceil(this.low - 1e-9), last = Math.floor(this.high + 1e-9), out = [];
      if (last - first >= 2) {
        const every = Math.max(1, Math.ceil((last - first + 1) / most));
        for (let e = first; e <= last; e += 1) if ((last - e) % every === 0) out.push([10 ** e, power(e)]);
        return out;
      }
      for (let e = first - 1; e <= last; e += 1) for (const m of [1, 2, 5]) {
        const v = m * 10 ** e;
        if (Math.log10(v) >= this.low - 1e-9 && Math.log10(v) <= this.high + 1e-9) out.push([v, number(v)]);
      }
      return out.length > 1 ? out : linear(10 ** this.low, 10 ** this.high, most).map((v) => [v, number(v)]);
    }
  }
  function linear(low, high, most) {
    const rough = (high - low) / most, decade = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * decade).find((s) => s >= rough * 0.999), out = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) out.push(+(i * step).toPrecision(12));
    return out;
  }

  // ---- drawing -------------------------------------------------------------------------------------------------------
  function draw(parent, tag, attributes, text) {
    const node = document.createElementNS(NS, tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }
  const look = (m) => `k${m % 8} d${Math.floor(m / 8) % 4}`;
  const fine = (v) => +v.toFixed(1);
  function trace(x, y) {
    let d = "", pen = "M";
    x.forEach((p, i) => {
      if (!Number.isFinite(p) || !Number.isFinite(y[i])) { pen = "M"; return; }
      d += `${pen}${fine(p)} ${fine(y[i])}`;
      pen = "L";
    });
    return d;
  }
  const title = { loss: data.kind === "fun" ? "value" : "training loss" };
  const charts = all("[data-chart]").map((figure) => {
    const svg = figure.querySelector("svg"), measure = figure.dataset.chart;
    return { figure, svg, measure, width: 0, height: 0, label: title[measure] ?? measure.replace("_", " ") };
  });

  function render(chart) {
    const { svg, measure, width, height } = chart;
    const shown = [...state.on].sort((a, b) => b - a);
    const lines = shown.map((m) => ({ m, ...bundle(m, state.axis, measure) })).filter((l) => l.x.length);
    const target = measure === "loss" ? data.target : null;
    const finite = lines.flatMap((l) => [...l.low, ...l.middle, ...l.high]).filter(Number.isFinite);
    const log = state.log && measure.endsWith("loss") && finite.some((v) => v > 0);
    const usable = log ? finite.filter((v) => v > 0) : finite;
    let low = Math.min(...usable), high = Math.max(...usable);
    if (!usable.length) [low, high] = log ? [0.1, 10] : [0, 1];
    const start = Math.max(...lines.map((l) => l.middle[0]).filter(Number.isFinite));
    if (Number.isFinite(start) && measure.endsWith("loss")) high = Math.max(low, Math.min(high, log ? 3 * start : start + 0.25 * Math.abs(start - low)));
    if (target !== null && (target > 0 || !log)) { low = Math.min(low, target); high = Math.max(high, target); }
    if (log) { low = Math.max(low, high * 1e-18); const k = high > low ? (high / low) ** 0.04 : 1.5; low /= k; high *= k; }
    else { const k = 0.04 * (high - low); low -= k; high += k; }
    const xs = lines.flatMap((l) => [l.x[0], l.x[l.x.length - 1]]);
    const x = new Axis(Math.min(0, ...xs), Math.max(...xs, 1e-12), 56, width - 14, false);
    const y = new Axis(low, high, height - 48, 28, log);
    svg.replaceChildren();
    for (const [v, label] of y.ticks(6)) {
      const p = fine(y.at(v));
      draw(svg, "path", { class: "grid", d: `M${x.begin} ${p}H${x.end}` });
      draw(svg, "text", { class: "minor", x: x.begin - 7, y: p + 4, "text-anchor": "end" }, label);
    }
    for (const [v, label] of x.ticks(Math.max(3, Math.floor(width / 90)))) {
      const p = fine(x.at(v));
      draw(svg, "path", { class: "grid", d: `M${p} ${y.end}V${y.begin}` });
      draw(svg, "text", { class: "minor", x: p, y: y.begin + 17, "text-anchor": "middle" }, label);
    }
    draw(svg, "path", { class: "frame", fill: "none", d: `M${x.begin} ${y.end}V${y.begin}H${x.end}` });
    draw(svg, "text", { class: "axis-name", x: (x.begin + x.end) / 2, y: y.begin + 36, "text-anchor": "middle" }, names[state.axis]);
    draw(svg, "text", { class: "axis-name", x: x.begin - 44, y: y.end - 10 }, chart.label);
    const box = { x: x.begin, y: y.end, width: x.end - x.begin, height: y.begin - y.end };
    const inner = draw(svg, "svg", { ...box, viewBox: Object.values(box).join(" "), overflow: "hidden" });
    for (const l of lines) {
      const g = draw(inner, "g", { class: look(l.m) }), px = l.x.map((v) => x.at(v));
      const lowest = l.low.map((v) => y.at(v)), highest = l.high.map((v) => y.at(v));
      if (lines.length <= 10 && data.entries[l.m].curves.length > 1) {
        const ok = px.map((_, i) => i).filter((i) => Number.isFinite(l.low[i]) && !Number.isNaN(l.high[i]));
        const edge = [...ok.map((i) => [px[i], lowest[i]]), ...ok.reverse().map((i) => [px[i], Number.isFinite(l.high[i]) ? highest[i] : -1000])];
        if (edge.length > 3) draw(g, "polygon", { class: "band", points: edge.map((p) => p.map(fine).join(",")).join(" ") });
      }
      draw(g, "path", { class: "curve", d: trace(px, l.middle.map((v) => (Number.isFinite(v) ? y.at(v) : NaN))) });
    }
    if (target !== null && (target > 0 || !log)) {
      const p = fine(y.at(target));
      draw(inner, "path", { class: "target", d: `M${x.begin} ${p}H${x.end}` });
      draw(inner, "text", { class: "minor", x: x.end - 4, y: p - 5, "text-anchor": "end" }, `target ${number(target)}`);
    }
    const rule = draw(svg, "path", { class: "cross", d: "" }), dots = draw(svg, "g", {});
    svg.onpointermove = (event) => {
      const area = svg.getBoundingClientRect(), p = ((event.clientX - area.left) / area.width) * width;
      if (p < x.begin - 4 || p > x.end + 4) return leave();
      const v = x.value(p), rows = [];
      rule.setAttribute("d", `M${fine(p)} ${y.end}V${y.begin}`);
      dots.replaceChildren();
      for (const l of lines) {
        let i = l.x.findLastIndex((u) => u <= v);
        if (i < 0) continue;
        if (i + 1 < l.x.length && l.x[i + 1] - v < v - l.x[i]) i += 1;
        const value = l.middle[i];
        rows.push([l.m, value, l.low[i], l.high[i]]);
        const h = y.at(value);
        if (Number.isFinite(value) && h <= y.begin && h >= y.end)
          draw(draw(dots, "g", { class: look(l.m) }), "circle", { class: "dot", cx: fine(x.at(l.x[i])), cy: fine(h), r: 4 });
      }
      const better = measure.endsWith("loss") ? 1 : -1;
      rows.sort((a, b) => better * ((Number.isFinite(a[1]) ? a[1] : better * Infinity) - (Number.isFinite(b[1]) ? b[1] : better * Infinity)));
      read(event, `${names[state.axis]} ${number(state.axis === "iteration" ? Math.round(v) : v)}`, rows);
      return undefined;
    };
    function leave() { rule.setAttribute("d", ""); dots.replaceChildren(); document.getElementById("read").hidden = true; }
    svg.onpointerleave = leave;
  }

  function read(event, head, rows) {
    const box = document.getElementById("read");
    box.replaceChildren(Object.assign(document.createElement("b"), { textContent: head }));
    for (const [m, value, low, high] of rows.slice(0, 12)) {
      const row = document.createElement("div"), name = document.createElement("span"), number_ = document.createElement("span");
      name.append(swatch(m), data.entries[m].name);
      number_.textContent = Number.isFinite(value) ? number(value) + (low !== high ? `  (${number(low)}–${Number.isFinite(high) ? number(high) : "∞"})` : "") : "diverged";
      row.append(name, number_);
      box.append(row);
    }
    box.hidden = false;
    const right = event.clientX + 18 + box.offsetWidth > innerWidth;
    box.style.left = Math.max(4, right ? event.clientX - 18 - box.offsetWidth : event.clientX + 18) + "px";
    box.style.top = Math.max(4, Math.min(event.clientY - 20, innerHeight - box.offsetHeight - 8)) + "px";
  }
  function swatch(m) {
    const svg = document.createElementNS(NS, "svg");
    svg.setAttribute("class", `swatch ${look(m)}`);
    svg.setAttribute("viewBox", "0 0 22 10");
    draw(svg, "path", { d: "M1 5h20" });
    return svg;
  }

  // ---- state ---------------------------------------------------------------------------------------------------------
  // Drawn at the width there is, so that letters keep their size.
  function fit(chart) {
    chart.width = Math.max(300, Math.round(chart.figure.clientWidth));
    chart.height = chart.width < 420 ? 300 : 400;
    chart.svg.setAttribute("viewBox", `0 0 ${chart.width} ${chart.height}`);
    render(chart);
  }
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => charts.forEach(fit), 80); });
  function refresh() {
    charts.forEach(fit);
    all("[data-legend]").forEach((b) => b.setAttribute("aria-pressed", state.on.has(+b.dataset.legend)));
    all("[data-sync] [data-m]").forEach((g) => g.classList.toggle("off", !state.on.has(+g.dataset.m)));
    all("[data-axis]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.axis === state.axis));
    all("[data-log]").forEach((b) => b.setAttribute("aria-pressed", !!b.dataset.log === state.log));
    all("[data-strip]").forEach((f) => { f.hidden = f.dataset.strip !== state.axis; });
  }
  const show = (n) => { state.on = new Set(data.entries.keys()); for (const m of [...state.on]) if (m >= n) state.on.delete(m); };
  all("[data-legend]").forEach((b) => {
    const m = +b.dataset.legend;
    b.onclick = () => { if (!state.on.delete(m)) state.on.add(m); refresh(); };
    b.ondblclick = () => { state.on = new Set([m]); refresh(); };
  });
  all("[data-show]").forEach((b) => { b.onclick = () => { show(b.dataset.show === "all" ? Infinity : +b.dataset.show); refresh(); }; });
  all("[data-axis]").forEach((b) => { b.onclick = () => { state.axis = b.dataset.axis; refresh(); }; });
  all("[data-log]").forEach((b) => { b.onclick = () => { state.log = !!b.dataset.log; refresh(); }; });
  if (data.entries.length <= 8) all(".more").forEach((node) => node.remove());
  show(8);
  refresh();

  // ---- table ---------------------------------------------------------------------------------------------------------
  all("th button").forEach((b, column) => {
    b.onclick = () => {
      const th = b.parentElement, body = document.querySelector("tbody");
      const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      all("th").forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.v;
      const rows = [...body.rows].sort((a, b2) => {
        const [u, v] = [value(a), value(b2)];
        if (u === "" || v === "") return (u === "") - (v === "");
        return sign * (Number.isNaN(+u) || Number.isNaN(+v) ? u.localeCompare(v) : +u - +v);
      });
      body.append(...rows);
    };
  });

  // ---- taking things away --------------------------------------------------------------------------------------------
  const quoted = (v) => (/[",\n\r]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v);
  function csv() {
    const measures = Object.keys(data.entries[0]?.curves[0]?.validation ?? {});
    const lines = [["method", "seed", "iteration", data.work_unit, "seconds", "loss", ...measures.map((m) => `validation_${m}`)].map(quoted).join(",")];
    for (const e of data.entries) for (const c of e.curves) c.iteration.forEach((k, i) => {
      lines.push([quoted(e.name), c.seed, k, c.work[i], c.seconds[i], c.loss[i] ?? "nan", ...measures.map((m) => c.validation[m]?.[i] ?? "nan")].join(","));
    });
    return lines.join("\n") + "\n";
  }
  const { latex, style, band, x_axis, ...result } = data;
  const savers = {
    csv: () => save("curves.csv", csv(), "text/csv"),
    json: () => save("result.json", JSON.stringify(result, null, 1), "application/json"),
    tex: () => save("table.tex", latex, "application/x-tex"),
  };
  all("[data-save]").forEach((b) => { b.onclick = savers[b.dataset.save]; });
})();
