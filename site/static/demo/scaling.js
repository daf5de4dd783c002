// An image scaled to the network's size and the network's logits scaled back: the same numbers as
// seglib.data.transforms and torch's bilinear interpolation give, up to rounding.

/** Python's round: halves go to the even neighbour. */
function roundEven(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

/** [height, width] after scaling so that the longer side has `longest` pixels; 0 leaves them alone. */
export function fittedSize(height, width, longest) {
  const factor = longest ? longest / Math.max(height, width) : 1;
  return [Math.max(1, roundEven(height * factor)), Math.max(1, roundEven(width * factor))];
}

/** For each of `scaled` places the first of the `length` given ones that counts, and the weights from there on. */
function areaTaps(length, scaled) {
  const step = length / scaled;
  return Array.from({ length: scaled }, (_, place) => {
    const [from, to] = [place * step, Math.min(length, (place + 1) * step)];
    const first = Math.floor(from + 1e-9);
    const weights = [];
    for (let given = first; given < to - 1e-9; given++) {
      weights.push((Math.min(given + 1, to) - Math.max(given, from)) / (to - from));
    }
    return { first, weights };
  });
}

/** As `areaTaps`, for linear interpolation between the two nearest. */
function lineTaps(length, scaled) {
  return Array.from({ length: scaled }, (_, place) => {
    const { low, high, share } = neighbours(place, length, scaled);
    return high > low ? { first: low, weights: [1 - share, share] } : { first: low, weights: [1] };
  });
}

function neighbours(place, length, scaled) {
  const at = Math.min(length - 1, Math.max(0, (place + 0.5) * (length / scaled) - 0.5));
  const low = Math.floor(at);
  return { low, high: Math.min(low + 1, length - 1), share: at - low };
}

/**
 * RGBA pixels (height x width) to RGB planes (3, h, w) as the network takes them, and their size.
 * Areas are averaged when shrunk, lines drawn when enlarged; sides below `smallest` are filled with the edge.
 */
export function fit(pixels, height, width, longest, smallest) {
  const [h, w] = fittedSize(height, width, longest);
  const taps = Math.max(h, w) < Math.max(height, width) ? areaTaps : lineTaps;
  const wide = acrossRows(pixels, height, width, taps(width, w));
  const small = downColumns(wide, w * 3, taps(height, h));
  const [rows, columns] = [Math.max(h, smallest), Math.max(w, smallest)];
  const planes = new Uint8Array(3 * rows * columns);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const from = (Math.min(y, h - 1) * w + Math.min(x, w - 1)) * 3;
      for (let c = 0; c < 3; c++) planes[(c * rows + y) * columns + x] = small[from + c];
    }
  }
  return { planes, rows, columns, h, w };
}

function acrossRows(pixels, height, width, taps) {
  const out = new Float32Array(height * taps.length * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, weights } of taps) {
      let from = (y * width + first) * 4;
      for (let k = 0; k < weights.length; k++, from += 4) {
        out[to] += weights[k] * pixels[from];
        out[to + 1] += weights[k] * pixels[from + 1];
        out[to + 2] += weights[k] * pixels[from + 2];
      }
      to += 3;
    }
  }
  return out;
}

function downColumns(rows, width, taps) {
  const out = new Uint8ClampedArray(taps.length * width);
  const sum = new Float32Array(width);
  taps.forEach(({ first, weights }, y) => {
    sum.fill(0);
    weights.forEach((weight, k) => {
      const from = (first + k) * width;
      for (let x = 0; x < width; x++) sum[x] += weight * rows[from + x];
    });
    for (let x = 0; x < width; x++) out[y * width + x] = Math.floor(sum[x] + 0.5);
  });
  return out;
}

/**
 * Logits (classes, rows, columns), of which the part h x w is the image, scaled to height x width:
 * the most probable class of every pixel, and 255 times its probability, and 255 times that of not being class 0.
 */
export function enlarge(logits, classes, { rows, columns, h, w }, height, width) {
  const labels = new Uint8Array(height * width);
  const opacity = new Uint8Array(height * width);
  const confidence = new Uint8Array(height * width);
  const across = Array.from({ length: width }, (_, x) => neighbours(x, w, width));
  const lines = Array.from({ length: classes }, () => new Float32Array(w));
  const found = new Float32Array(classes);
  for (let y = 0, at = 0; y < height; y++) {
    const down = neighbours(y, h, height);
    lines.forEach((line, c) => {
      const [above, below] = [(c * rows + down.low) * columns, (c * rows + down.high) * columns];
      for (let x = 0; x < w; x++) line[x] = logits[above + x] + down.share * (logits[below + x] - logits[above + x]);
    });
    for (const { low, high, share } of across) {
      let best = 0;
      for (let c = 0; c < classes; c++) {
        found[c] = lines[c][low] + share * (lines[c][high] - lines[c][low]);
        if (found[c] > found[best]) best = c;
      }
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp(found[c] - found[best]);
      labels[at] = best;
      confidence[at] = Math.round(255 / sum);
      opacity[at++] = Math.round(255 * (1 - Math.exp(found[0] - found[best]) / sum));
    }
  }
  return { labels, opacity, confidence };
}
