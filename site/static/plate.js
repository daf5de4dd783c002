// Light or dark, the menu on phones, and sliders between two pictures.

document.querySelector(".theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.theme = root.dataset.theme;
  } catch {
    // a browser that keeps nothing forgets the choice with the page
  }
});

const menu = document.querySelector(".menu");
menu.addEventListener("click", () => menu.setAttribute("aria-expanded", menu.getAttribute("aria-expanded") !== "true"));

for (const slider of document.querySelectorAll("figure .compare input")) {
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--cut", `${slider.value}%`));
}

// Wide tables and formulas scroll by themselves, not the page, and can be scrolled by keyboard.
for (const table of document.querySelectorAll("article table")) {
  if (table.closest(".scroll, .highlight")) continue;
  const box = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
  table.replaceWith(box);
  box.append(table);
}
