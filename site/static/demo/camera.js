// The camera in a dialog: live video and a button.

import { frameImage, ImageError } from "./image.js";

/** The image that the user takes, or null if the dialog was closed.  ImageError where there is no camera. */
export async function takePicture(dialog) {
  const video = dialog.querySelector("video");
  const stream = await open();
  video.srcObject = stream;
  dialog.showModal();
  await video.play();
  try {
    return await choice(dialog, video);
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    if (dialog.open) dialog.close();
  }
}

async function open() {
  if (!navigator.mediaDevices) throw new ImageError("This browser offers the camera to pages on https only.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    throw new ImageError(refused ? "The camera was not allowed; allow it in the browser's settings, or choose a file."
      : "No camera could be opened; choose a file instead.");
  }
}

function choice(dialog, video) {
  return new Promise((done) => {
    dialog.querySelector("[data-take]").onclick = () => done(frameImage(video));
    dialog.onclose = () => done(null);
  });
}
