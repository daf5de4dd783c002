// The camera in a dialog: a live picture, a button that takes it.

import { framePicture, PictureError } from "./picture.js";

/** The picture that the reader takes, or null if the dialog was closed.  PictureError where there is no camera. */
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
  if (!navigator.mediaDevices) throw new PictureError("This browser offers the camera to pages on https only.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    throw new PictureError(refused ? "The camera was not allowed; allow it in the browser's settings, or choose a file."
      : "No camera could be opened; choose a file instead.");
  }
}

function choice(dialog, video) {
  return new Promise((done) => {
    dialog.querySelector("[data-take]").onclick = () => done(framePicture(video));
    dialog.onclose = () => done(null);
  });
}
