"use strict";
// What all pages share: the data, and buttons that copy and save.
const data = JSON.parse(document.getElementById("data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const NS = "http://www.w3.org/2000/svg";
document.documentElement.classList.add("js");

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
all("[data-svg]").forEach((b) => {
  b.onclick = () => {
    const copy = b.parentElement.querySelector("svg").cloneNode(true);
    all(".off, .cross", copy).forEach((node) => node.remove());
    const [, , w, h] = copy.getAttribute("viewBox").split(" ");
    copy.setAttribute("width", w);
    copy.setAttribute("height", h);
    const css = document.createElementNS(NS, "style");
    css.textContent = data.style;
    copy.prepend(css);
    save(`${b.dataset.svg}.svg`, new XMLSerializer().serializeToString(copy), "image/svg+xml");
  };
});
all("[data-copy]").forEach((b) => {
  b.onclick = () => navigator.clipboard?.writeText(document.getElementById(b.dataset.copy).textContent).then(() => {
    b.textContent = "copied";
    setTimeout(() => { b.textContent = "copy"; }, 1500);
  });
});
