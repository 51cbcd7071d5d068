(() => {
  const on = new Set(all("[data-legend]").map((b) => b.dataset.legend));
  function refresh() {
    all("[data-legend]").forEach((b) => b.setAttribute("aria-pressed", on.has(b.dataset.legend)));
    all("[data-sync] [data-m]").forEach((g) => g.classList.toggle("off", !on.has(g.dataset.m)));
  }
  all("[data-legend]").forEach((b) => {
    const m = b.dataset.legend;
    b.onclick = () => { if (!on.delete(m)) on.add(m); refresh(); };
    b.ondblclick = () => { on.clear(); on.add(m); refresh(); };
  });
  all("[data-axis]").forEach((b) => {
    b.onclick = () => {
      all("[data-axis]").forEach((other) => other.setAttribute("aria-pressed", other === b));
      all("[data-strip]").forEach((f) => { f.hidden = f.dataset.strip !== b.dataset.axis; });
    };
  });
})();
