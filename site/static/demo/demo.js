// The page: choose a subject and an image, see the result, save it.

import { takePicture } from "./camera.js";
import { ImageError, readImage } from "./image.js";
import { maskPng } from "./png.js";
import { cutoutPng, doubtful, shares, show, storedResult } from "./view.js";

const SUBJECTS = { humans: "A person", horses: "A horse", camvid: "A street" };
const root = document.querySelector("#demo");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const query = new URLSearchParams(location.search); // ?model=NAME, ?device=wasm|webgpu, ?image=FILE of the explorer
const waiting = new Map();
const results = new Map(); // by image and network: switching back shows them at once
const state = { models: [], sizes: {}, image: null, shown: null, kind: "overlay", task: 0, stored: null };

worker.addEventListener("message", ({ data }) => waiting.get(data.id)?.(data));
worker.addEventListener("error", () => fail(new Error("This browser cannot run the demo; a current one can.")));

async function start() {
  if (await isolating()) return; // the page loads once more
  const answer = await fetch(new URL("models/models.json", import.meta.url));
  const { models, sizes, examples } = await answer.json();
  Object.assign(state, { models, sizes });
  const subjects = Object.keys(SUBJECTS).filter((subject) => models.some(({ data }) => data === subject));
  part("subjects").replaceChildren(...subjects.map(subjectChoice));
  part("models").replaceChildren(...models.map(modelChoice));
  part("examples").replaceChildren(...examples.map(exampleButton));
  select(models.find(({ name }) => name === query.get("model")) ?? standard(query.get("subject") ?? subjects[0]));
  listen();
  root.dataset.ready = "true";
  const name = query.get("image");
  if (/^[\w-]+\.jpg$/.test(name)) {
    use(async () => readImage(await (await fetch(new URL(`../explorer/${name}`, import.meta.url))).blob(), name));
  }
}

/** Whether the page is about to load again, isolated from other origins, so that the network may use several cores. */
async function isolating() {
  if (globalThis.crossOriginIsolated || !navigator.serviceWorker || query.get("device") === "wasm") return false;
  try {
    if (sessionStorage.isolating) return false; // tried already
    sessionStorage.isolating = "true";
    await navigator.serviceWorker.register(new URL("../../isolate.js", import.meta.url));
    await navigator.serviceWorker.ready;
  } catch {
    return false; // one core will do
  }
  location.reload();
  return true;
}

const modelOf = (name) => state.models.find((model) => model.name === name);
const selected = () => modelOf(root.querySelector('input[name="model"]:checked').value);
const standard = (subject) => state.models.find(({ data }) => data === subject) ?? state.models[0];

function subjectChoice(subject) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "subject", value: subject });
  input.addEventListener("change", () => (select(standard(subject)), segment()));
  label.append(input, Object.assign(document.createElement("span"), { textContent: SUBJECTS[subject] }));
  return label;
}

function modelChoice(model) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "model", value: model.name });
  input.addEventListener("change", () => (select(model), segment()));
  const name = Object.assign(document.createElement("strong"), { textContent: model.name });
  const facts = document.createElement("small");
  facts.textContent = `${(model.parameters / 1e6).toFixed(1)}M parameters, ${megabytes(model.weights_bytes)}, mIoU ${model.miou.toFixed(3)}`;
  label.append(input, name, facts);
  return label;
}

/** Check the network and its subject, and offer the other networks of that subject for comparison. */
function select(model) {
  root.querySelector(`input[name="model"][value="${CSS.escape(model.name)}"]`).checked = true;
  const subject = root.querySelector(`input[name="subject"][value="${CSS.escape(model.data)}"]`);
  if (subject) subject.checked = true;
  const others = state.models.filter(({ data, name }) => data === model.data && name !== model.name);
  const kept = part("other").value;
  part("other").replaceChildren(new Option("your image", ""), ...others.map(({ name }) => new Option(name, name)));
  if (others.some(({ name }) => name === kept)) part("other").value = kept;
}

function exampleButton({ file, title, model, result }) {
  const button = Object.assign(document.createElement("button"), { type: "button", title });
  const address = new URL(`models/${file}`, import.meta.url);
  button.append(Object.assign(new Image(), { src: address, alt: title, loading: "lazy" }));
  button.addEventListener("click", () => {
    select(modelOf(model));
    return use(async () => {
      const image = await readImage(await (await fetch(address)).blob(), file);
      results.set(`${image.id} ${model}`, { ...(await storedResult(new URL(`models/${result}`, import.meta.url))), stored: true });
      return image;
    });
  });
  return button;
}

function listen() {
  const [file, drop] = [part("file"), part("drop")];
  file.addEventListener("click", prepare);
  file.addEventListener("change", () => file.files[0] && use(() => readImage(file.files[0])).then(() => (file.value = "")));
  part("camera").addEventListener("click", () => {
    prepare();
    use(() => takePicture(part("dialog")));
  });
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
  part("other").addEventListener("change", () => segment());
  for (const name of ["backdrop", "color"]) part(name).addEventListener("input", draw);
  root.querySelectorAll('input[name="kind"]').forEach((input) => input.addEventListener("change", () => {
    state.kind = input.value;
    draw();
  }));
  part("save-mask").addEventListener("click", async () => {
    const { result, image, model } = state.shown;
    save(await maskPng(result.labels, image.height, image.width, model.palette), "mask");
  });
  part("save-cutout").addEventListener("click", async () => save(await cutoutPng(state.shown.image, state.shown.result), "cutout"));
  part("save-view").addEventListener("click", async () => save(await view(), state.kind));
  part("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": view() })]);
      part("status").textContent = "Copied to the clipboard.";
    } catch {
      part("status").textContent = "This browser does not let the page copy images; download it instead.";
    }
  });
}

/** Load the network while the visitor looks for an image. */
function prepare() {
  worker.postMessage({ model: selected(), sizes: state.sizes, wanted: query.get("device") });
}

/** What is shown right of the slider, as a PNG Blob; cut-outs in full size. */
function view() {
  if (state.kind === "cutout") return cutoutPng(state.shown.image, state.shown.result);
  return new Promise((done) => part("after").toBlob(done, "image/png"));
}

async function use(read) {
  try {
    const image = await read();
    if (!image) return;
    state.image = image;
    await segment();
  } catch (error) {
    fail(error);
  }
}

async function segment() {
  if (!state.image) return;
  const [image, model, other] = [state.image, selected(), modelOf(part("other").value)];
  const task = ++state.task;
  try {
    const result = await predicted(image, model, task);
    const compared = other && task === state.task ? await predicted(image, other, task) : null;
    if (task !== state.task) return; // something else was chosen meanwhile
    state.shown = { image, result, model, other, compared };
    draw();
    report();
    await advise();
  } catch (error) {
    if (task === state.task) fail(error);
  }
}

/** The result of a network on an image, computed unless it was before; `task` null computes without showing progress. */
async function predicted(image, model, task) {
  const key = `${image.id} ${model.name}`;
  if (!results.has(key)) {
    if (task) busy(`Loading ${model.name} ...`, 0);
    const id = crypto.randomUUID();
    const answer = new Promise((done) => waiting.set(id, (data) => ("progress" in data ? loading(task, data.progress) : done(data))));
    const { pixels, height, width } = image;
    worker.postMessage({ id, model, sizes: state.sizes, wanted: query.get("device"), pixels, height, width });
    const { result, error } = await answer;
    waiting.delete(id);
    if (error) throw new Error(error);
    results.set(key, result);
    if (results.size > 12) results.delete(results.keys().next().value);
  }
  return results.get(key);
}

function loading(task, share) {
  if (!task || task !== state.task) return;
  if (share < 1) busy(null, share);
  else busy("Running the network ...");
}

/** `text` is read aloud by screen readers, so it changes once a stage; the percentage is only shown. */
function busy(text, share) {
  const bar = part("progress");
  root.dataset.state = "busy";
  part("error").hidden = true;
  if (text) part("status").textContent = text;
  part("percent").textContent = share === undefined ? "" : `${Math.round(100 * share)} %`;
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

function fail(error) {
  const words = error instanceof ImageError ? error.message : `That did not work. ${error.message}`;
  part("error").textContent = words;
  part("error").hidden = false;
  part("status").textContent = "";
  finished(state.shown ? "done" : "idle");
}

function finished(how) {
  root.dataset.state = how;
  root.dataset.finished = Number(root.dataset.finished ?? 0) + 1; // for tests, which wait for it
}

function draw() {
  if (!state.shown) return;
  const { image, result, model, other, compared } = state.shown;
  root.dataset.kind = state.kind;
  part("stage").style.aspectRatio = `${image.width} / ${image.height}`;
  part("stage").style.maxWidth = `calc(62vh * ${image.width / image.height})`;
  const options = { backdrop: part("backdrop").value, color: part("color").value };
  show(state.kind, part("after"), image, result, model.palette, options);
  show(compared ? state.kind : "image", part("before"), image, compared, other?.palette, options);
  part("before").setAttribute("aria-label", compared ? `The result of ${other.name}` : "Your image");
  part("after").setAttribute("aria-label", `The result of ${model.name}: ${state.kind}`);
  slide();
}

function slide() {
  const value = part("slider").value;
  part("stage").style.setProperty("--cut", `${value}%`);
  part("slider").setAttribute("aria-valuetext", `${100 - value} % of the result is shown`);
}

function report() {
  const { result, model, image, other, compared } = state.shown;
  part("error").hidden = true;
  const threads = result.threads > 1 ? `${result.threads} threads` : "one thread";
  const device = result.device === "webgpu" ? "graphics processor (WebGPU)" : `processor (WebAssembly, ${threads})`;
  const shrunk = image.shrunk ? ` The image was first scaled down to ${image.width} x ${image.height}, the limit of this page.` : "";
  const names = compared ? `Left of the slider ${other.name}, right ${model.name}. ` : "";
  part("status").textContent = names + (result.stored
    ? `Computed beforehand with ${model.name}. Choose an image of your own to run it here.`
    : `${model.name} took ${seconds(result.took)} on your ${device}; the input had ${result.seen.join(" x ")} pixels.${shrunk}`);
  part("legend").replaceChildren(...shares(result, model).map(({ name, color, share }) => {
    const item = document.createElement("li");
    const swatch = document.createElement("i");
    swatch.style.background = color;
    item.append(swatch, `${name} `, Object.assign(document.createElement("span"), { textContent: `${(100 * share).toFixed(1)} %` }));
    return item;
  }));
  part("advice").hidden = true;
  finished("done");
}

/** Suggest another subject if this network found nothing or is unsure about what it found. */
async function advise() {
  const { result, model } = state.shown;
  const reason = doubtful(result, model);
  if (!reason) return;
  const others = Object.entries(SUBJECTS).filter(([subject]) => subject !== model.data && state.models.some(({ data }) => data === subject));
  const what = SUBJECTS[model.data].replace(/^A /, "a ");
  part("advice").replaceChildren(`${reason} Is this an image of ${what}? If not, choose: `, ...others.map(([subject, words]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    button.addEventListener("click", () => (select(standard(subject)), segment()));
    return button;
  }));
  part("advice").hidden = false;
}

function save(blob, kind) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${state.shown.image.name}_${kind}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(milliseconds < 1000 ? 2 : 1)} s`;

start().catch(fail);
