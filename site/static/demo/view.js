// What the reader sees of a result: overlay, mask or cut-out, over the photograph.

const MOST = 1600; // pixels of the longer side on the screen; files that are saved have all

/** Draw photograph and result into their canvases; `kind` is overlay, mask or cutout. */
export function show(kind, { before, after }, picture, result, palette) {
  const factor = Math.min(1, MOST / Math.max(picture.width, picture.height));
  const width = Math.max(1, Math.round(picture.width * factor));
  const height = Math.max(1, Math.round(picture.height * factor));
  for (const canvas of [before, after]) Object.assign(canvas, { width, height });
  before.getContext("2d").drawImage(picture.canvas, 0, 0, width, height);
  const context = after.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture.canvas, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  const place = (x, y) => Math.min(picture.height - 1, Math.floor((y + 0.5) / factor)) * picture.width
    + Math.min(picture.width - 1, Math.floor((x + 0.5) / factor));
  paint[kind](image, result, palette, place);
  context.putImageData(image, 0, 0);
}

const paint = {
  overlay(image, { labels }, palette, place) {
    each(image, (at, x, y) => {
      const label = labels[place(x, y)];
      if (!label) return;
      const edge = [[1, 0], [-1, 0], [0, 1], [0, -1]].some(([dx, dy]) => {
        const [nx, ny] = [x + dx, y + dy];
        return nx >= 0 && ny >= 0 && nx < image.width && ny < image.height && labels[place(nx, ny)] !== label;
      });
      const share = edge ? 1 : 0.45;
      palette[label].forEach((value, c) => (image.data[at + c] += share * (value - image.data[at + c])));
    });
  },
  mask(image, { labels }, palette, place) {
    each(image, (at, x, y) => palette[labels[place(x, y)]].forEach((value, c) => (image.data[at + c] = value)));
  },
  cutout(image, { opacity }, palette, place) {
    each(image, (at, x, y) => (image.data[at + 3] = opacity[place(x, y)]));
  },
};

function each({ width, height }, visit) {
  for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at += 4) visit(at, x, y);
}

/** The photograph in full size, as opaque as it is probable that a pixel is not of class 0; a PNG Blob. */
export function cutoutPng(picture, { opacity }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
  const image = new ImageData(new Uint8ClampedArray(picture.pixels), picture.width);
  opacity.forEach((value, pixel) => (image.data[4 * pixel + 3] = value));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** [{ name, colour, share }] of the classes that were found, the largest first. */
export function shares({ labels }, { classes, palette }) {
  const counts = new Array(classes.length).fill(0);
  for (const label of labels) counts[label]++;
  return classes
    .map((name, c) => ({ name, colour: `rgb(${palette[c]})`, share: counts[c] / labels.length }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share);
}
