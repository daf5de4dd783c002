// The results explorer: images, target masks, predictions and error maps, in the selected order.

const root = document.querySelector("#explorer");
const folder = new URL("explorer/", import.meta.url);
const networks = await (await fetch(new URL("explorer.json", folder))).json();
const [model, order] = ["model", "order"].map((name) => root.querySelector(`[name="${name}"]`));
const ORDERS = {
  worst: (a, b) => a.miou - b.miou,
  best: (a, b) => b.miou - a.miou,
  number: (a, b) => a.number - b.number,
};

model.append(...networks.map(({ name, synthetic }) => new Option(`${name} on synthetic ${synthetic}`, name)));
for (const select of [model, order]) select.addEventListener("change", show);
show();

function show() {
  const { name, classes, images } = networks.find((network) => network.name === model.value);
  const mean = images.reduce((sum, { miou }) => sum + miou, 0) / images.length;
  root.querySelector('[data-part="summary"]').textContent = `${images.length} images, mean of their mIoU ${mean.toFixed(3)}`;
  root.querySelectorAll("[data-errors]").forEach((item) => (item.hidden = classes.length !== 2));
  root.querySelector('[data-part="wrong"]').textContent = classes.length === 2 ? "false positive" : "wrong class";
  root.querySelector(".results").replaceChildren(...images.toSorted(ORDERS[order.value]).map((image) => row(name, image)));
}

function row(name, { number, stem, miou, boundary_iou }) {
  const item = document.createElement("li");
  const title = document.createElement("h2");
  const bold = Object.assign(document.createElement("b"), { textContent: `mIoU ${miou.toFixed(3)}` });
  title.append(`Image ${number + 1}: `, bold, `, Boundary IoU ${boundary_iou.toFixed(3)}`);
  const panels = Object.assign(document.createElement("div"), { className: "row" });
  panels.append(
    panel(`${stem}.jpg`, "image", number),
    panel(`${stem}-target.png`, "ground truth", number),
    panel(`${stem}-${name}.png`, "prediction", number),
    panel(`${stem}-${name}-errors.jpg`, "errors", number),
  );
  item.dataset.miou = miou;
  item.append(title, panels);
  return item;
}

function panel(file, what, number) {
  const figure = document.createElement("figure");
  const image = Object.assign(new Image(384, 288), { src: new URL(file, folder), alt: `${what} ${number + 1}`, loading: "lazy" });
  figure.append(image, Object.assign(document.createElement("figcaption"), { textContent: what }));
  return figure;
}
