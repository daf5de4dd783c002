// All that takes long, away from the page: scaling, the network, scaling back.  Takes one image at a time.

import { bestDevice, load, run, threads } from "./network.js";
import { enlarge, fit } from "./scaling.js";

const PATIENCE = 30_000; // milliseconds, for a graphics processor that nobody asked for; the slowest need a few seconds

let device = null;

addEventListener("message", async ({ data: task }) => {
  if (!task.pixels) return prepare(task);
  try {
    const result = await segment(task);
    postMessage({ id: task.id, result }, [result.labels.buffer, result.opacity.buffer, result.confidence.buffer]);
  } catch (error) {
    postMessage({ id: task.id, error: error.message || String(error) });
  }
});

/** Load a network before there is an image; an error is reported by the task of the image. */
async function prepare({ model, sizes, wanted }) {
  device ??= wanted || (await bestDevice());
  await load(model, device, sizes, () => {}).catch(() => {});
}

async function segment({ id, model, sizes, wanted, pixels, height, width }) {
  device ??= wanted || (await bestDevice());
  const small = fit(pixels, height, width, model.longest_side, model.smallest_side);
  const { logits, took } = await compute(id, model, sizes, small, wanted ? Infinity : PATIENCE);
  const begin = performance.now();
  const found = enlarge(logits, model.classes.length, small, height, width);
  return { ...found, device, threads, seen: [small.w, small.h], took: took + performance.now() - begin };
}

async function compute(id, model, sizes, { planes, rows, columns }, patience) {
  const progress = (done, all) => postMessage({ id, progress: done / all });
  let begin = performance.now();
  // The time that loading took is no part of the network's.
  const loaded = (done, all) => (progress(done, all), (begin = performance.now()));
  try {
    const running = run(model, device, sizes, planes, rows, columns, loaded);
    const logits = await (device === "webgpu" ? answered(running, () => begin, patience) : running);
    return { logits, took: performance.now() - begin };
  } catch (error) {
    if (device !== "webgpu") throw error;
    device = "wasm"; // a graphics processor that refuses is no reason to give up
    return compute(id, model, sizes, { planes, rows, columns }, patience);
  }
}

/** What `running` gives; an error where a driver is silent for too long `since` the last sign of life, or gives no numbers. */
async function answered(running, since, patience) {
  const silence = new Promise((_, fail) => {
    const watch = setInterval(() => performance.now() - since() > patience && fail(new Error("no answer")), 1000);
    running.finally(() => clearInterval(watch)).catch(() => {});
  });
  const logits = await Promise.race([running, silence]);
  if (!logits.every(Number.isFinite)) throw new Error("no numbers");
  return logits;
}
