// Light or dark, menus, contents that follow the scroll, copy buttons, tables that sort, sliders between two images.

document.querySelector(".theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.theme = root.dataset.theme;
  } catch {
    // the choice is not kept where storage is off
  }
});

const menu = document.querySelector(".menu");
menu.addEventListener("click", () => menu.setAttribute("aria-expanded", menu.getAttribute("aria-expanded") !== "true"));

for (const slider of document.querySelectorAll("figure .compare input")) {
  slider.addEventListener("input", () => {
    slider.parentElement.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${100 - slider.value} % of the result is shown`);
  });
}

const side = document.querySelector(".side");
if (side && matchMedia("(max-width: 62rem)").matches) side.open = false;

// The contents mark the section that is read.
const entries = new Map([...document.querySelectorAll(".here a")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
const sections = [...document.querySelectorAll("article section[id]")].filter(({ id }) => entries.has(id));
function mark() {
  const current = sections.filter((section) => section.getBoundingClientRect().top < 120).at(-1);
  for (const [id, link] of entries) link.classList.toggle("now", id === current?.id);
}
if (sections.length) {
  addEventListener("scroll", mark, { passive: true });
  mark();
}

for (const block of document.querySelectorAll("article .highlight:has(pre)")) {
  if (block.closest(".cell_output")) continue;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("pre").textContent);
    button.textContent = "Copied";
  });
  block.append(button);
}

// Tables of results: a click on a heading sorts; on phones each row is a card with the headings as labels.
for (const table of document.querySelectorAll(".sortable table, table.sortable")) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    for (const row of table.tBodies[0].rows) row.cells[column].dataset.label = heading.textContent.trim();
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: heading.textContent.trim() });
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = heading.ariaSort !== "descending";
      const value = (row) => Number.parseFloat(row.cells[column].textContent) || row.cells[column].textContent;
      const sign = down ? -1 : 1;
      const rows = [...table.tBodies[0].rows].sort((a, b) => sign * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.tBodies[0].append(...rows);
    });
  });
}

// Code that is wider than the page scrolls by keyboard too; an empty heading of a table is no heading.
for (const block of document.querySelectorAll("article pre")) block.tabIndex = 0;
for (const heading of document.querySelectorAll("article th")) {
  if (!heading.textContent.trim()) heading.replaceWith(document.createElement("td"));
  else if (heading.querySelector(".math")) heading.ariaLabel = heading.textContent.trim(); // a formula becomes a drawing
}

// Sphinx writes the parameters of a long signature as a definition list without terms; these are plain lines.
for (const list of document.querySelectorAll("dt.sig dl")) {
  const lines = [...list.children].map((parameter) => {
    const line = document.createElement("div");
    line.append(...parameter.childNodes);
    return line;
  });
  const box = Object.assign(document.createElement("div"), { className: "parameters" });
  box.append(...lines);
  list.replaceWith(box);
}

// Sphinx and MyST write roles, names and nested lists that screen readers do not accept.
for (const entry of document.querySelectorAll(".citation-list > .citation")) entry.role = "listitem";
for (const summary of document.querySelectorAll("details.hide > summary")) summary.removeAttribute("aria-label");
for (const list of document.querySelectorAll("article ul > ul")) list.previousElementSibling.append(list);

// Wide tables and formulas scroll by themselves, not the page, and can be scrolled by keyboard.
for (const table of document.querySelectorAll("article table")) {
  if (table.closest(".scroll, .highlight")) continue;
  const box = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
  table.replaceWith(box);
  box.append(table);
}
