// The views of a result: overlay, mask, cut-out, another background, confidence.

const MOST = 1600; // pixels of the longer side on the screen; cut-outs and masks that are saved have all
// Below LITTLE of the image, or with more than UNSURE pixels of a probability from 0.1 to 0.9 for one of the foreground,
// the subject is probably another one. Of 18 validation images each: with u2netp-horses 0 horses, 16 people and 15 streets
// are doubtful, with efficientnet_unet-humans 2 people and all horses and streets.
const LITTLE = 0.01;
const UNSURE = 0.3;
const BLUR = 0.02; // of the longer side

/** Draw one view into `canvas`; `kind` "image" draws the image alone. */
export function show(kind, canvas, image, result, palette, options) {
  const factor = Math.min(1, MOST / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * factor));
  const height = Math.max(1, Math.round(image.height * factor));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image.canvas, 0, 0, width, height);
  if (kind === "image") return;
  const view = context.getImageData(0, 0, width, height);
  const place = (x, y) => Math.min(image.height - 1, Math.floor((y + 0.5) / factor)) * image.width
    + Math.min(image.width - 1, Math.floor((x + 0.5) / factor));
  paint[kind](view, result, place, { ...options, palette, canvas });
  context.putImageData(view, 0, 0);
}

const paint = {
  overlay(view, { labels }, place, { palette }) {
    each(view, (at, x, y) => {
      const label = labels[place(x, y)];
      if (!label && palette.length === 2) return;
      const edge = [[1, 0], [-1, 0], [0, 1], [0, -1]].some(([dx, dy]) => {
        const [nx, ny] = [x + dx, y + dy];
        return nx >= 0 && ny >= 0 && nx < view.width && ny < view.height && labels[place(nx, ny)] !== label;
      });
      blend(view.data, at, palette[label], edge ? 1 : 0.45);
    });
  },
  mask(view, { labels }, place, { palette }) {
    each(view, (at, x, y) => blend(view.data, at, palette[labels[place(x, y)]], 1));
  },
  cutout(view, { opacity }, place) {
    each(view, (at, x, y) => (view.data[at + 3] = opacity[place(x, y)]));
  },
  background(view, { opacity }, place, { backdrop, color, canvas }) {
    const behind = document.createElement("canvas").getContext("2d");
    Object.assign(behind.canvas, { width: view.width, height: view.height });
    if (backdrop === "blur") {
      behind.filter = `blur(${Math.ceil(BLUR * Math.max(view.width, view.height))}px)`;
      behind.drawImage(canvas, 0, 0);
    } else {
      behind.fillStyle = color;
      behind.fillRect(0, 0, view.width, view.height);
    }
    const { data } = behind.getImageData(0, 0, view.width, view.height);
    each(view, (at, x, y) => blend(view.data, at, data.subarray(at, at + 3), 1 - opacity[place(x, y)] / 255));
  },
  confidence(view, { confidence }, place) {
    // From orange, no better than a guess between two classes, to white, sure.
    each(view, (at, x, y) => {
      const sure = Math.max(0, confidence[place(x, y)] / 127.5 - 1);
      blend(view.data, at, [213 + 42 * sure, 94 + 161 * sure, 255 * sure], 0.85);
    });
  },
};

function blend(data, at, color, share) {
  for (let c = 0; c < 3; c++) data[at + c] += share * (color[c] - data[at + c]);
}

function each({ width, height }, visit) {
  for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at += 4) visit(at, x, y);
}

/** The image in full size, as opaque as it is probable that a pixel is not of class 0; a PNG Blob. */
export function cutoutPng(image, { opacity }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const view = new ImageData(new Uint8ClampedArray(image.pixels), image.width);
  opacity.forEach((value, pixel) => (view.data[4 * pixel + 3] = value));
  canvas.getContext("2d").putImageData(view, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** { labels, opacity, confidence } of a PNG whose red, green and blue hold them. */
export async function storedResult(address) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(await (await fetch(address)).blob(), options);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const channel = (c) => Uint8Array.from({ length: data.length / 4 }, (_, pixel) => data[4 * pixel + c]);
  return { labels: channel(0), opacity: channel(1), confidence: channel(2) };
}

/** [{ name, color, share }] of the classes that were predicted, the largest first. */
export function shares({ labels }, { classes, palette }) {
  const counts = new Array(classes.length).fill(0);
  for (const label of labels) counts[label]++;
  return classes
    .map((name, c) => ({ name, color: `rgb(${palette[c]})`, share: counts[c] / labels.length }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share);
}

/** Why the subject is probably another one, or "". */
export function doubtful({ labels, opacity }, { classes }) {
  if (classes.length > 2) return ""; // not measured
  let [foreground, unsure] = [0, 0];
  opacity.forEach((value, pixel) => {
    foreground += labels[pixel];
    unsure += value > 25 && value < 230;
  });
  if (foreground < LITTLE * labels.length) return "The network found almost nothing.";
  return unsure > UNSURE * foreground ? "The network is unsure about what it found." : "";
}
