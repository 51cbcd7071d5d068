// Opens the page: the tabs, the link in the address bar, light and dark.
import { h } from "./dom";
import { LinearPage } from "./linear";
import { Link, type Recorded } from "./link";
import { NetworkPage } from "./network";
import { Playground } from "./playground";
import type { Meta, State } from "./types";
import { read, write } from "./url";

const LATER = ["Constraints", "Sampling", "Graph cuts"];

async function main(): Promise<void> {
  const kept = document.getElementById("recorded")?.textContent;
  const recorded: Recorded | null = kept ? JSON.parse(kept) : null;
  const state: State = read(location.hash || (recorded?.state ?? ""));
  // Another link pasted into the address bar.
  window.addEventListener("hashchange", () => location.reload());
  const link = new Link(recorded);
  const status = h("span", { id: "status", role: "status" });
  const meta: Meta = recorded ? recorded.meta : await (await fetch("api/meta")).json();
  let timer = 0;
  const changed = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => history.replaceState(null, "", `#${write(state)}`), 250);
  };
  const pages: Record<string, { title: string; root: HTMLElement; show?: () => void; hide?: () => void; trouble?: (message: string) => void }> = {};
  const playground = new Playground(meta, link, state, changed, recorded);
  pages.playground = { title: "Playground", root: playground.root, show: () => playground.show() };
  if (!recorded) {
    const network = new NetworkPage(meta, link, state.network, changed);
    pages.network = { title: "Network", root: network.root, show: () => network.show(), hide: () => network.hide(), trouble: (m) => network.trouble(m) };
  }
  if (meta.linear.methods.length) {
    const linear = new LinearPage(meta, link, state.linear, changed, !!recorded);
    pages.linear = { title: "Linear systems", root: linear.root, show: () => linear.show(), hide: () => linear.hide(), trouble: (m) => linear.trouble(m) };
  }
  link.onTrouble = (op, message, column) => {
    playground.busy("");
    if (op === "linear") return pages.linear.trouble?.(message);
    if (op === "train" || op === "slice") return pages.network.trouble?.(message);
    playground.trouble(op, message, column);
  };
  link.onBusy = (what) => playground.busy(what);
  link.onState = (open) => (status.textContent = open ? "" : "the server does not answer …");

  const stage = h("div", { id: "stage" });
  const footer = h("footer", {}, recorded
    ? "Recorded runs of the library's own driver; for sliders and your own start: ravine lab · space plays · ← → step"
    : "Click the map to start elsewhere · space plays · ← → step · 1–9 choose a method · paths are made by the library's own driver");
  const tabs = h("nav", { "aria-label": "Pages" });
  const show = (name: string) => {
    if (pages[state.tab]?.root.isConnected && state.tab !== name) pages[state.tab].hide?.();
    state.tab = Object.hasOwn(pages, name) ? name : "playground";
    stage.replaceChildren(pages[state.tab].root);
    for (const button of tabs.querySelectorAll("button[data-tab]")) button.setAttribute("aria-current", String((button as HTMLElement).dataset.tab === state.tab));
    footer.hidden = state.tab !== "playground";
    pages[state.tab].show?.();
  };
  for (const [name, page] of Object.entries(pages)) tabs.append(h("button", { "data-tab": name, onclick: () => { show(name); changed(); } }, page.title));
  for (const title of LATER) tabs.append(h("button", { disabled: true, class: "later", title: "not there yet" }, title));
  const copy = h("button", { id: "copy", title: "copy a link to this page as it stands", onclick: async () => {
    history.replaceState(null, "", `#${write(state)}`);
    await navigator.clipboard?.writeText(location.href).catch(() => {});
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy link"), 1200);
  } }, "Copy link");
  const theme = h("button", { id: "theme", title: "light or dark", "aria-label": "light or dark", onclick: () => {
    const dark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    playground.repaint();
    pages[state.tab].show?.();
  } }, "◐");
  document.body.replaceChildren(
    h("header", {}, h("h1", {}, "ravine lab"), tabs, status, h("span", { class: "grow" }), copy, theme), stage,
    footer);
  show(state.tab);
}

void main();
