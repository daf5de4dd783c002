// The results explorer: images, target masks, predictions and error maps.  The address keeps what is selected.

const root = document.querySelector("#explorer");
const folder = new URL("explorer/", import.meta.url);
const networks = await (await fetch(new URL("explorer.json", folder))).json();
const [model, order] = ["model", "order"].map((name) => root.querySelector(`[name="${name}"]`));
const zoom = root.querySelector("dialog");
const ORDERS = {
  best: (a, b) => b.miou - a.miou,
  worst: (a, b) => a.miou - b.miou,
  number: (a, b) => a.number - b.number,
};

model.append(...networks.map(({ name, synthetic }) => new Option(`${name} on synthetic ${synthetic}`, name)));
for (const select of [model, order]) {
  select.addEventListener("change", () => {
    history.replaceState(null, "", `#${new URLSearchParams({ model: model.value, order: order.value })}`);
    show();
  });
}
addEventListener("hashchange", read);
zoom.addEventListener("click", () => zoom.close());
read();

/** Show what the address names: #model=NAME&order=ORDER&image=NUMBER, each of them optional. */
function read() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const select of [model, order]) {
    const value = wanted.get(select.name);
    if ([...select.options].some((option) => option.value === value)) select.value = value;
  }
  show();
  root.querySelector(`[data-number="${Number.parseInt(wanted.get("image"), 10)}"]`)?.scrollIntoView();
}

function show() {
  const { name, classes, palette, images } = networks.find((network) => network.name === model.value);
  const mean = images.reduce((sum, { miou }) => sum + miou, 0) / images.length;
  root.querySelector('[data-part="summary"]').textContent = `${images.length} images, mean of their mIoU ${mean.toFixed(3)}`;
  root.querySelectorAll("[data-errors]").forEach((item) => (item.hidden = classes.length !== 2));
  root.querySelector('[data-part="wrong"]').textContent = classes.length === 2 ? "false positive" : "wrong class";
  root.querySelector('[data-part="classes"]').replaceChildren(...classes.map((text, label) => {
    const swatch = document.createElement("i");
    swatch.style.background = `rgb(${palette[label]})`;
    return element("li", {}, swatch, text);
  }));
  root.querySelector(".results").replaceChildren(...images.toSorted(ORDERS[order.value]).map((image) => row(name, image)));
}

function row(name, { number, stem, miou, boundary_iou }) {
  const title = element("h2", {}, `Image ${number + 1}: `, element("b", {}, `mIoU ${miou.toFixed(3)}`), `, Boundary IoU ${boundary_iou.toFixed(3)}`);
  const panels = element("div", { className: "row" },
    panel(`${stem}.jpg`, "image", number),
    panel(`${stem}-target.png`, "ground truth", number),
    panel(`${stem}-${name}.png`, "prediction", number),
    panel(`${stem}-${name}-errors.jpg`, "errors", number),
  );
  const place = new URLSearchParams({ model: name, order: order.value, image: number + 1 });
  const links = element("p", { className: "links" },
    element("a", { href: `demo.html?${new URLSearchParams({ model: name, image: `${stem}.jpg` })}`, ariaLabel: `Open in the demo: image ${number + 1}` }, "Open in the demo"),
    element("a", { href: `#${place}`, ariaLabel: `Link to this image: ${number + 1}` }, "Link to this image"),
  );
  const item = element("li", {}, title, panels, links);
  Object.assign(item.dataset, { miou, number: number + 1 });
  return item;
}

/** One of the four images of a row; a click shows it large. */
function panel(file, what, number) {
  const alt = `${what} ${number + 1}`;
  const image = Object.assign(new Image(384, 288), { src: new URL(file, folder), alt, loading: "lazy" });
  const button = element("button", { type: "button", ariaLabel: `Enlarge ${alt}` }, image);
  button.addEventListener("click", () => {
    Object.assign(zoom.querySelector("img"), { src: image.src, alt });
    zoom.showModal();
  });
  return element("figure", {}, button, element("figcaption", {}, what));
}

function element(tag, properties, ...children) {
  const result = Object.assign(document.createElement(tag), properties);
  result.append(...children);
  return result;
}
