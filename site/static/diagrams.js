// Diagrams of the networks: facts of the block under the pointer or with the focus, zoom, and moving by dragging.

const STEPS = [1, 1.5, 2, 3, 4];

for (const figure of document.querySelectorAll("figure.network")) {
  const [sheet, facts] = [figure.querySelector(".sheet"), figure.querySelector(".facts")];
  let step = 0;
  let chosen = null;
  let dragged = false;

  function choose(block) {
    if (!block || block === chosen) return;
    chosen?.classList.remove("chosen");
    chosen = block;
    chosen.classList.add("chosen");
    facts.textContent = `${block.getAttribute("aria-label")}. `;
    const source = block.getAttribute("href");
    if (source) facts.append(Object.assign(document.createElement("a"), { href: source, textContent: "Source" }));
  }

  function zoom(change) {
    const middle = (sheet.scrollLeft + sheet.clientWidth / 2) / sheet.scrollWidth;
    const height = (sheet.scrollTop + sheet.clientHeight / 2) / sheet.scrollHeight;
    step = change ? Math.min(Math.max(step + change, 0), STEPS.length - 1) : 0;
    sheet.style.setProperty("--zoom", STEPS[step]);
    sheet.scrollTo(middle * sheet.scrollWidth - sheet.clientWidth / 2, height * sheet.scrollHeight - sheet.clientHeight / 2);
  }

  for (const button of figure.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
  for (const name of ["pointerover", "focusin"]) sheet.addEventListener(name, ({ target }) => choose(target.closest(".block")));
  sheet.addEventListener("click", (event) => {
    // A finger has no hover: its tap shows the facts, which hold the link.
    if (dragged || (event.pointerType === "touch" && event.target.closest(".block"))) event.preventDefault();
    dragged = false;
  });
  sheet.addEventListener("dragstart", (event) => event.preventDefault());
  sheet.addEventListener("pointermove", ({ buttons, pointerType, movementX, movementY }) => {
    if (pointerType !== "mouse" || !(buttons & 1)) return; // fingers scroll by themselves
    sheet.scrollBy(-movementX, -movementY);
    dragged ||= Math.abs(movementX) + Math.abs(movementY) > 2;
  });
  sheet.addEventListener("pointerdown", () => (dragged = false));
}
