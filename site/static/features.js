// Feature maps of a small network in the browser: the output of each of its stages for an image.

import { readImage } from "./demo/image.js";
import { outputs } from "./demo/network.js";
import { fit } from "./demo/scaling.js";

const CHANNELS = 8;
const root = document.querySelector("#features");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const models = new URL("demo/models/", import.meta.url);
const { model, stages, sizes, image } = await (await fetch(new URL("features.json", models))).json();
let queue = Promise.resolve(); // one image after another

part("status").textContent = `Loads ${((sizes.wasm + model.graph_bytes + model.weights_bytes) / 1e6).toFixed(1)} MB once.`;
part("run").addEventListener("click", () => follow(async () => (await fetch(new URL(image, models))).blob(), image));
part("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) follow(() => file, file.name);
  target.value = ""; // so that the same file can be chosen again
});

/** Run the network on the image that `read` returns and show the outputs of its stages, or the error. */
function follow(read, name) {
  queue = queue.then(async () => {
    part("status").textContent = "Running the network ...";
    const { pixels, height, width } = await readImage(await read(), name);
    const { planes, rows, columns } = fit(pixels, height, width, model.longest_side, model.smallest_side);
    const results = await outputs(model, "wasm", sizes, planes, rows, columns, () => {});
    part("stages").replaceChildren(...stages.map(({ title, output }) => row(title, results[output])));
    part("status").textContent = `${stages.length} stages of ${model.name} on ${name}: the ${CHANNELS} channels with the largest variance.`;
  }).catch((error) => (part("status").textContent = error.message));
}

/** A heading and the channels with the largest variance of a feature map { dims: [1, C, H, W], data }. */
function row(title, { dims: [, channels, height, width], data }) {
  const size = height * width;
  const planes = Array.from({ length: channels }, (_, channel) => {
    const values = data.subarray(channel * size, (channel + 1) * size);
    const mean = values.reduce((sum, value) => sum + value, 0) / size;
    return { channel, values, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size };
  });
  planes.sort((a, b) => b.variance - a.variance);
  const heading = Object.assign(document.createElement("h4"), { textContent: `${title}: ${channels} x ${height} x ${width}` });
  const maps = Object.assign(document.createElement("div"), { className: "maps" });
  maps.append(...planes.slice(0, CHANNELS).map(({ channel, values }) => drawn(values, height, width, `${title}, channel ${channel}`)));
  const item = document.createElement("li");
  item.append(heading, maps);
  return item;
}

/** A canvas with one channel in grey, from its smallest value to its largest. */
function drawn(values, height, width, ariaLabel) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height, ariaLabel, role: "img" });
  const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const pixels = new ImageData(width, height);
  values.forEach((value, place) => pixels.data.set([...Array(3).fill((255 * (value - low)) / (high - low || 1)), 255], 4 * place));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
