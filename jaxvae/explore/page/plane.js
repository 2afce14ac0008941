// Two latents as a plane to drag on, with the encoded test images as points.

import { text } from "./pictures.js";

// Petroff 2021, arXiv:2107.02270: ten colours that are told apart with any colour vision, on light and dark.
const COLORS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581",
  "#92dadd"];
const KEY_STEPS = 60;
const MARGIN = 0.04;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

export class Plane {
  #canvas = document.getElementById("plane");
  #points = document.createElement("canvas");
  #mark = null;

  constructor(latents) {
    this.latents = latents;
    const { latents: axes, points, classes } = latents.model.plane;
    Object.assign(this, { axes, points, classes });
    this.low = axes.map((i) => Math.min(...latents.model.priors.map(({ low }) => low[i])));
    this.high = axes.map((i) => Math.max(...latents.model.priors.map(({ high }) => high[i])));
    this.#addLegend();
    this.#listen();
    document.getElementById("plane-section").hidden = false;
    document.getElementById("plane-title").textContent = `Plane of latents ${axes.join(" and ")}`;
    document.getElementById("plane-help").textContent =
      `Drag, or use the arrow keys (with Shift: further). Latent ${axes[0]} grows to the right, latent ${axes[1]} `
      + `upwards; the points are encoded test images.`;
    this.#canvas.setAttribute("aria-label", `Latents ${axes.join(" and ")}`);
  }

  // Shows where an encoding is, or nothing.
  mark(z) {
    this.#mark = z;
    this.#draw();
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#moveToPointer(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.#moveToPointer(event);
    });
    canvas.addEventListener("keydown", (event) => this.#moveByKey(event));
    this.latents.addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#resize());
  }

  #moveToPointer(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    this.#moveTo([(event.clientX - left) / width, 1 - (event.clientY - top) / height].map((share, k) =>
      this.low[k] + ((share - MARGIN) / (1 - 2 * MARGIN)) * (this.high[k] - this.low[k])));
  }

  #moveByKey(event) {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const factor = event.shiftKey ? 5 : 1;
    this.#moveTo(this.axes.map((latent, k) =>
      this.latents.z[latent] + (factor * move[k] * (this.high[k] - this.low[k])) / KEY_STEPS));
  }

  #moveTo(values) {
    const z = [...this.latents.z];
    this.axes.forEach((latent, k) => { z[latent] = Math.min(Math.max(values[k], this.low[k]), this.high[k]); });
    this.latents.moveTo(z);
  }

  // Where on the canvas a point of the plane is.
  #place(point) {
    const share = point.map((value, k) =>
      MARGIN + ((1 - 2 * MARGIN) * (value - this.low[k])) / (this.high[k] - this.low[k]));
    return [share[0] * this.#canvas.width, (1 - share[1]) * this.#canvas.height];
  }

  #resize() {
    const side = Math.max(1, Math.round(this.#canvas.clientWidth * devicePixelRatio));
    Object.assign(this.#canvas, { width: side, height: side });
    Object.assign(this.#points, { width: side, height: side });
    this.#drawPoints(this.#points.getContext("2d"));
    this.#draw();
  }

  #drawPoints(context) {
    const style = getComputedStyle(this.#canvas);
    const radius = 1.8 * devicePixelRatio;
    this.#drawAxes(context, style);
    context.globalAlpha = 0.75;
    const colors = this.numClasses <= COLORS.length ? COLORS : [];
    this.points.forEach((point, n) => {
      context.fillStyle = colors[this.classes?.[n]] ?? style.color;
      context.beginPath();
      context.arc(...this.#place(point), radius, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
  }

  #drawAxes(context, style) {
    const [left, bottom] = this.#place(this.low);
    const [right, top] = this.#place(this.high);
    const [x, y] = this.#place([0, 0]);
    context.strokeStyle = style.borderTopColor;
    context.lineWidth = devicePixelRatio;
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(right, y);
    context.moveTo(x, bottom);
    context.lineTo(x, top);
    context.stroke();
    context.fillStyle = style.color;
    context.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    context.textAlign = "right";
    context.fillText(text(this.high[0], 1), right, y - 4 * devicePixelRatio);
    context.fillText(text(this.high[1], 1), x - 4 * devicePixelRatio, top + 12 * devicePixelRatio);
    context.textAlign = "left";
    context.fillText(text(this.low[0], 1), left, y - 4 * devicePixelRatio);
    context.fillText(text(this.low[1], 1), x + 4 * devicePixelRatio, bottom);
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (this.#points.width) context.drawImage(this.#points, 0, 0);
    if (this.#mark) this.#ring(context, this.#mark, 4, "drawing");
    this.#ring(context, this.latents.z, 8);
    const values = this.axes.map((latent) => `latent ${latent}: ${text(this.latents.z[latent])}`);
    this.#canvas.setAttribute("aria-valuenow", this.latents.z[this.axes[0]].toFixed(2));
    this.#canvas.setAttribute("aria-valuemin", this.low[0].toFixed(2));
    this.#canvas.setAttribute("aria-valuemax", this.high[0].toFixed(2));
    this.#canvas.setAttribute("aria-valuetext", values.join(", "));
  }

  // A ring that stands out from points of any colour.
  #ring(context, z, radius, name = "") {
    const style = getComputedStyle(this.#canvas);
    const [x, y] = this.#place(this.axes.map((latent) => z[latent]));
    for (const [width, color] of [[6, style.backgroundColor], [2.5, style.color]]) {
      context.lineWidth = width * devicePixelRatio;
      context.strokeStyle = color;
      context.beginPath();
      context.arc(x, y, radius * devicePixelRatio, 0, 2 * Math.PI);
      context.stroke();
    }
    context.font = `bold ${13 * devicePixelRatio}px system-ui, sans-serif`;
    context.textAlign = x > this.#canvas.width * 0.8 ? "right" : "left";
    context.lineWidth = 4 * devicePixelRatio;
    context.strokeStyle = style.backgroundColor;
    const offset = (context.textAlign === "right" ? -1 : 1) * (radius + 6) * devicePixelRatio;
    context.strokeText(name, x + offset, y + 4 * devicePixelRatio);
    context.fillStyle = style.color;
    context.fillText(name, x + offset, y + 4 * devicePixelRatio);
  }

  get numClasses() {
    return this.classes ? Math.max(...this.classes) + 1 : 0;
  }

  #addLegend() {
    if (!this.numClasses || this.numClasses > COLORS.length) return;
    document.getElementById("legend").append(...COLORS.slice(0, this.numClasses).map((color, label) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.style.backgroundColor = color;
      item.append(swatch, `${label}`);
      return item;
    }));
  }
}
