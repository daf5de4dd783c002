// The results explorer: pictures, truths, predictions and error maps, in the order that the reader wants.

const root = document.querySelector("#explorer");
const folder = new URL("explorer/", import.meta.url);
const networks = await (await fetch(new URL("explorer.json", folder))).json();
const [model, order] = ["model", "order"].map((name) => root.querySelector(`[name="${name}"]`));
const ORDERS = {
  worst: (a, b) => a.miou - b.miou,
  best: (a, b) => b.miou - a.miou,
  number: (a, b) => a.number - b.number,
};

model.append(...networks.map(({ name, drawn }) => new Option(`${name} on drawn ${drawn}`, name)));
for (const select of [model, order]) select.addEventListener("change", show);
show();

function show() {
  const { name, classes, pictures } = networks.find((network) => network.name === model.value);
  const mean = pictures.reduce((sum, { miou }) => sum + miou, 0) / pictures.length;
  root.querySelector('[data-part="summary"]').textContent = `${pictures.length} pictures, mean of their mIoU ${mean.toFixed(3)}`;
  root.querySelectorAll("[data-errors]").forEach((item) => (item.hidden = classes.length !== 2));
  root.querySelector('[data-part="wrong"]').textContent = classes.length === 2 ? "false alarm" : "wrong class";
  root.querySelector(".results").replaceChildren(...pictures.toSorted(ORDERS[order.value]).map((picture) => row(name, picture)));
}

function row(name, { number, stem, miou, boundary_iou }) {
  const item = document.createElement("li");
  const title = document.createElement("h3");
  const bold = Object.assign(document.createElement("b"), { textContent: `mIoU ${miou.toFixed(3)}` });
  title.append(`Picture ${number + 1}: `, bold, `, Boundary IoU ${boundary_iou.toFixed(3)}`);
  const panels = Object.assign(document.createElement("div"), { className: "row" });
  panels.append(
    panel(`${stem}.jpg`, "picture", number),
    panel(`${stem}-truth.png`, "truth", number),
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
