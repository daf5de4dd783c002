// The page: choose an image and a network, see the result, save it.

import { takePicture } from "./camera.js";
import { ImageError, readImage } from "./image.js";
import { maskPng } from "./png.js";
import { cutoutPng, shares, show } from "./view.js";

const root = document.querySelector("#demo");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const query = new URLSearchParams(location.search); // ?model=NAME, ?device=wasm|webgpu (one's own choice of processor)
const waiting = new Map();
const state = { models: [], sizes: {}, picture: null, shown: null, kind: "overlay", task: 0 };

worker.addEventListener("message", ({ data }) => waiting.get(data.id)?.(data));
worker.addEventListener("error", () => fail(new Error("This browser cannot run the demo; a current one can.")));

async function start() {
  const answer = await fetch(new URL("models/models.json", import.meta.url));
  const { models, sizes, examples } = await answer.json();
  Object.assign(state, { models, sizes });
  part("models").replaceChildren(...models.map(modelChoice));
  part("examples").replaceChildren(...examples.map(exampleButton));
  const asked = root.querySelector(`input[value="${CSS.escape(query.get("model") ?? "")}"][name="model"]`);
  if (asked) asked.checked = true;
  listen();
  root.dataset.ready = "true";
}

function modelChoice(model, number) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "model", value: model.name });
  input.checked = number === 0;
  input.addEventListener("change", () => segment());
  const name = Object.assign(document.createElement("strong"), { textContent: model.name });
  const about = document.createElement("span");
  about.textContent = `${model.classes.slice(0, 3).join(", ")}${model.classes.length > 3 ? ", ..." : ""}`;
  const facts = document.createElement("small");
  facts.textContent = `${(model.parameters / 1e6).toFixed(1)}M weights, ${megabytes(model.weights_bytes)}, mIoU ${model.miou.toFixed(3)}`;
  label.append(input, name, about, facts);
  return label;
}

function exampleButton({ file, title, model }) {
  const button = Object.assign(document.createElement("button"), { type: "button", title });
  const address = new URL(`models/${file}`, import.meta.url);
  button.append(Object.assign(new Image(), { src: address, alt: title, loading: "lazy" }));
  button.addEventListener("click", async () => {
    const choice = root.querySelector(`input[value="${model}"]`);
    if (choice) choice.checked = true;
    await use(async () => readImage(await (await fetch(address)).blob(), file));
  });
  return button;
}

function listen() {
  const [file, drop] = [part("file"), part("drop")];
  file.addEventListener("change", () => file.files[0] && use(() => readImage(file.files[0])).then(() => (file.value = "")));
  part("camera").addEventListener("click", () => use(() => takePicture(part("dialog"))));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault(); // else the browser would open the file in place of the page
      drop.classList.toggle("over", name === "dragover");
      const dropped = name === "drop" && event.dataTransfer.files[0];
      if (dropped) use(() => readImage(dropped));
    });
  }
  addEventListener("paste", ({ clipboardData }) => clipboardData.files[0] && use(() => readImage(clipboardData.files[0])));
  part("slider").addEventListener("input", slide);
  root.querySelectorAll('input[name="kind"]').forEach((input) => input.addEventListener("change", () => {
    state.kind = input.value;
    draw();
  }));
  part("save-mask").addEventListener("click", async () => {
    const { result, picture, model } = state.shown;
    save(await maskPng(result.labels, picture.height, picture.width, model.palette), "mask");
  });
  part("save-cutout").addEventListener("click", async () => save(await cutoutPng(state.shown.picture, state.shown.result), "cutout"));
}

async function use(read) {
  try {
    const picture = await read();
    if (!picture) return;
    state.picture = picture;
    await segment();
  } catch (error) {
    fail(error);
  }
}

async function segment() {
  if (!state.picture) return;
  const picture = state.picture;
  const { pixels, height, width } = picture;
  const model = state.models.find(({ name }) => name === root.querySelector('input[name="model"]:checked').value);
  const id = ++state.task;
  busy("Loading the network ...", 0);
  const answer = new Promise((done) => waiting.set(id, (data) => ("progress" in data ? loading(id, data.progress) : done(data))));
  worker.postMessage({ id, model, sizes: state.sizes, wanted: query.get("device"), pixels, height, width });
  const { result, error } = await answer;
  waiting.delete(id);
  if (id !== state.task) return; // the reader has chosen something else meanwhile
  if (error) return fail(new Error(error));
  state.shown = { picture, result, model }; // together: while the next image is processed, this one can be saved
  draw();
  tell();
}

function loading(id, share) {
  if (id !== state.task) return;
  if (share < 1) busy(`Loading the network ... ${Math.round(100 * share)} %`, share);
  else busy("Running the network ...");
}

function busy(text, share) {
  const bar = part("progress");
  root.dataset.state = "busy";
  part("status").textContent = text;
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

function fail(error) {
  finished(state.shown ? "done" : "idle");
  const words = error instanceof ImageError ? error.message : `That did not work. ${error.message}`;
  part("error").textContent = words;
  part("error").hidden = false;
  part("status").textContent = "";
}

/** The page rests; how often it has come to rest is told for those who wait for it. */
function finished(how) {
  root.dataset.state = how;
  root.dataset.finished = Number(root.dataset.finished ?? 0) + 1;
}

function draw() {
  if (!state.shown) return;
  const { picture, result, model } = state.shown;
  root.dataset.kind = state.kind;
  part("stage").style.aspectRatio = `${picture.width} / ${picture.height}`;
  part("stage").style.maxWidth = `calc(72vh * ${picture.width / picture.height})`;
  show(state.kind, { before: part("before"), after: part("after") }, picture, result, model.palette);
  slide();
}

function slide() {
  part("stage").style.setProperty("--cut", `${part("slider").value}%`);
}

function tell() {
  const { result, model, picture } = state.shown;
  part("error").hidden = true;
  const on = result.device === "webgpu" ? "graphics processor (WebGPU)" : "processor (WebAssembly, one thread)";
  const scaled = picture.shrunk ? ` The image was first scaled down to ${picture.width} x ${picture.height}, the limit of this page.` : "";
  part("status").textContent = `${model.name} took ${seconds(result.took)} on this machine's ${on}; the input had ${result.seen.join(" x ")} pixels.${scaled}`;
  part("legend").replaceChildren(...shares(result, model).map(({ name, colour, share }) => {
    const item = document.createElement("li");
    const swatch = document.createElement("i");
    swatch.style.background = colour;
    item.append(swatch, `${name} `, Object.assign(document.createElement("span"), { textContent: `${(100 * share).toFixed(1)} %` }));
    return item;
  }));
  finished("done");
}

function save(blob, kind) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${state.shown.picture.name}_${kind}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(milliseconds < 1000 ? 2 : 1)} s`;

start().catch(fail);
