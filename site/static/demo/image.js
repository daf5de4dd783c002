// Images from files and from the camera, as pixels.  Nothing leaves this machine.

const MOST_PIXELS = 16_000_000; // what canvases hold on phones
let count = 0;

/** A fault that is the file's, explained to the reader. */
export class ImageError extends Error {}

/** { id, name, canvas, pixels (RGBA), height, width, shrunk } of a File or Blob.  ImageError if it is not an image. */
export async function readImage(file, name = file.name ?? "image") {
  if (file.size === 0) throw new ImageError(`${name} is empty.`);
  const bitmap = await decoded(file, name, kindHint(file, name));
  const picture = drawn(bitmap, bitmap.width, bitmap.height, name);
  bitmap.close();
  return picture;
}

async function decoded(file, name, hint) {
  try {
    // As the package reads it: upright, and with a color profile converted to sRGB.
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "default" });
  } catch {
    throw new ImageError(`${name} could not be read as an image.${hint}`);
  }
}

function kindHint(file, name) {
  if (/\.(heic|heif)$/i.test(name)) return " Few browsers read HEIC; save the image as JPEG.";
  if (file.type.startsWith("image/") || /\.(png|jpe?g|webp|gif|bmp|avif)$/i.test(name)) {
    return " The file is damaged, or in a format that this browser does not know; try a JPEG or PNG.";
  }
  return " Choose an image: JPEG, PNG or WebP.";
}

/** What a video shows right now, as `readImage` gives it. */
export function frameImage(video) {
  return drawn(video, video.videoWidth, video.videoHeight, "camera");
}

function drawn(source, fullWidth, fullHeight, name) {
  const factor = Math.min(1, Math.sqrt(MOST_PIXELS / (fullWidth * fullHeight)));
  const width = Math.max(1, Math.floor(fullWidth * factor));
  const height = Math.max(1, Math.floor(fullHeight * factor));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new ImageError(`${name} is too large for this browser.`);
  context.fillStyle = "white"; // behind transparent parts, as in the package
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  return { id: ++count, name: name.replace(/\.[^.]*$/, ""), canvas, pixels, height, width, shrunk: factor < 1 };
}
