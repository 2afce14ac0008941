// Bytes (H, W, C) on canvases.

// Paints an image at a place of a canvas.
export function paint(canvas, bytes, [height, width, channels], left = 0) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = bytes[channels * i + (channels >= 3 ? c : 0)];
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, left, 0);
}

// Makes canvases of the images' size.
export function size(canvases, [height, width]) {
  for (const canvas of canvases) Object.assign(canvas, { width, height });
}

// A number as text, as short as it is useful.
export const text = (value, digits = 2) =>
  value === null ? "not a number" : value.toFixed(digits).replace("-", "\u2212");
