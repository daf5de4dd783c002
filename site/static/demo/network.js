// Networks in the browser: onnxruntime-web, the graph, and the weights in 8 bits.

const RUNTIMES = {
  webgpu: { script: "../ort/ort.webgpu.bundle.min.mjs", binary: "../ort/webgpu.wasm.gz" },
  wasm: { script: "../ort/ort.wasm.bundle.min.mjs", binary: "../ort/wasm.wasm.gz" },
};
const here = new URL(".", import.meta.url);
/** Threads need shared memory, which a page has only if it is isolated from other origins (isolate.js). */
export const threads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
const runtimes = new Map();
let loaded = null; // { key, network }, a promise of { ort, session }: one network at a time, for the sake of phones
let report = () => {}; // progress of loading, for the latest caller

/** "webgpu" where the browser has a graphics processor to offer, and not a program that plays one, else "wasm". */
export async function bestDevice() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter && !adapter.info?.isFallbackAdapter ? "webgpu" : "wasm";
  } catch {
    return "wasm";
  }
}

/** Logits (1, classes, rows, columns) for planes (1, 3, rows, columns); `progress(done, all)` counts bytes. */
export async function run(...task) {
  const { logits } = await outputs(...task);
  const values = await logits.getData(); // from the graphics processor's memory, if it is there
  logits.dispose();
  return values;
}

/** All outputs of the graph by name, as tensors of the runtime; arguments as for `run`. */
export async function outputs(model, device, sizes, planes, rows, columns, progress) {
  const { ort, session } = await load(model, device, sizes, progress);
  const image = new ort.Tensor("uint8", planes, [1, 3, rows, columns]);
  return session.run({ image });
}

/** The runtime and the session of a network; a network that is being loaded is waited for, not loaded again. */
export async function load(model, device, sizes, progress) {
  const key = `${device} ${model.name}`;
  report = progress;
  if (loaded?.key !== key) {
    const before = loaded?.network;
    const network = release(before).then(() => open(model, device, sizes, (done, all) => report(done, all)));
    loaded = { key, network };
    network.catch(() => loaded?.network === network && (loaded = null)); // the next image tries again
  }
  return loaded.network;
}

async function release(network) {
  const { session } = (await network?.catch(() => null)) ?? {};
  await session?.release();
}

async function open(model, device, sizes, progress) {
  const all = (runtimes.has(device) ? 0 : sizes[device]) + model.graph_bytes + model.weights_bytes;
  let done = 0;
  const count = (bytes) => progress((done += bytes), all);
  if (!runtimes.has(device)) runtimes.set(device, await startRuntime(device, sizes[device], count));
  const ort = runtimes.get(device);
  const graph = await fetchBytes(`models/${model.graph}`, model.graph_bytes, count);
  const file = await fetchBytes(`models/${model.weights}`, model.weights_bytes, count);
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [device],
    externalData: [{ path: "weights", data: new Uint8Array(decoded(file.buffer).buffer) }],
    logSeverityLevel: 3,
  });
  return { ort, session };
}

async function startRuntime(device, size, count) {
  const { script, binary } = RUNTIMES[device];
  const packed = await fetchBytes(binary, size, count);
  const ort = await import(script);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = await unpacked(packed);
  return ort;
}

/** A server that is told so may have unpacked the file already. */
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function fetchBytes(name, size, count) {
  const answer = await fetch(new URL(name, here)).catch(() => null);
  if (!answer?.ok) throw new Error("The network could not be loaded; check your connection and try again.");
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    count(value.length);
    length += value.length;
  }
  if (length < size) throw new Error("The network arrived incomplete; try again.");
  const bytes = new Uint8Array(length);
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

/** The tensors of a file by site/eight_bit.py as fp32, in the order of the file; see there. */
function decoded(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const halves = Float32Array.from({ length: 65536 }, (_, bits) => halfToNumber(bits));
  const read = {
    I8: (part) => new Int8Array(part),
    F16: (part) => Float32Array.from(new Uint16Array(part), (bits) => halves[bits]),
    F32: (part) => new Float32Array(part),
  };
  const numbers = ({ dtype, data_offsets: [from, to] }) => read[dtype](buffer.slice(start + from, start + to));
  const names = Object.keys(header).filter((name) => name !== "__metadata__" && !name.endsWith(":scale"));
  names.sort((a, b) => header[a].data_offsets[0] - header[b].data_offsets[0]);
  const count = ({ shape }) => shape.reduce((product, size) => product * size, 1);
  const all = new Float32Array(names.reduce((sum, name) => sum + count(header[name]), 0));
  let end = 0;
  for (const name of names) {
    const values = numbers(header[name]);
    const scales = header[`${name}:scale`] && numbers(header[`${name}:scale`]);
    const channel = values.length / (scales?.length ?? 1); // weights of an output channel
    for (let i = 0; i < values.length; i++) all[end + i] = scales ? values[i] * scales[Math.floor(i / channel)] : values[i];
    end += values.length;
  }
  return all;
}

function halfToNumber(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
