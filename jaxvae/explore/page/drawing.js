// A drawing in the images' own pixels, by mouse, finger or keyboard, and what the model makes of it.

import { ask, latest } from "./api.js";
import { paint, text } from "./pictures.js";

// Of the pen, as a share of the image's width.
const RADIUS = 0.045;
const SHOWN = 16;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

const element = (id) => document.getElementById(id);

export class Drawing {
  #canvas = element("drawing");
  #last = null;
  #encoding = null;

  constructor(latents, onEncoded) {
    this.latents = latents;
    this.onEncoded = onEncoded;
    [this.height, this.width] = latents.model.image_shape;
    this.ink = new Float32Array(this.height * this.width);
    this.version = 0;
    this.cursor = [Math.floor(this.width / 2), Math.floor(this.height / 2)];
    this.encode = latest(() => this.#encode());
    this.score = latest(() => this.#score());
    this.#listen();
    this.#show();
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#stroke(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#last) (event.getCoalescedEvents?.() ?? [event]).forEach((part) => this.#stroke(part));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => {
        if (this.#last) this.score();
        this.#last = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.#show());
    element("clear").addEventListener("click", () => this.#clear());
    element("middle").addEventListener("click", () => this.#center());
    element("use-drawing").addEventListener("click", () => this.latents.moveTo(this.#encoding.mean));
    this.latents.addEventListener("class", () => this.#changed(true));
  }

  get isEmpty() {
    return this.ink.every((value) => value === 0);
  }

  #stroke(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const end = [((event.clientX - left) / width) * this.width, ((event.clientY - top) / height) * this.height];
    const start = this.#last ?? end;
    const steps = Math.max(1, Math.ceil(4 * Math.hypot(end[0] - start[0], end[1] - start[1])));
    for (let i = 1; i <= steps; i++) this.#dab(start.map((from, k) => from + ((end[k] - from) * i) / steps));
    this.#last = end;
    this.#changed();
  }

  // Ink around a place: full within the pen's radius, and less up to a pixel further.
  #dab([x, y], isErasing = false) {
    const radius = Math.max(RADIUS * this.width, 0.5);
    for (let row = 0; row < this.height; row++) {
      for (let column = 0; column < this.width; column++) {
        const value = Math.min(1, radius + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y));
        const i = row * this.width + column;
        if (value > 0) this.ink[i] = isErasing ? 0 : Math.max(this.ink[i], value);
      }
    }
  }

  #key(event) {
    const move = MOVES[event.key];
    const isErasing = event.key === "Backspace" || event.key === "Delete";
    if (!move && !isErasing && event.key !== " ") return;
    event.preventDefault();
    if (move) {
      const limits = [this.width, this.height];
      this.cursor = this.cursor.map((at, k) => Math.min(Math.max(at + move[k], 0), limits[k] - 1));
      this.#show();
    } else {
      this.#dab(this.cursor.map((at) => at + 0.5), isErasing);
      this.#changed(true);
    }
  }

  #clear() {
    this.ink.fill(0);
    this.#changed(true);
  }

  // Moves the centre of mass to the middle, as MNIST's images have it.
  #center() {
    const total = this.ink.reduce((sum, value) => sum + value, 0);
    if (!total) return;
    const mean = (coordinate) => this.ink.reduce((sum, value, i) => sum + value * coordinate(i), 0) / total;
    const right = Math.round((this.width - 1) / 2 - mean((i) => i % this.width));
    const down = Math.round((this.height - 1) / 2 - mean((i) => Math.floor(i / this.width)));
    const moved = new Float32Array(this.ink.length);
    this.ink.forEach((value, i) => {
      const column = (i % this.width) + right;
      const row = Math.floor(i / this.width) + down;
      if (column >= 0 && column < this.width && row >= 0 && row < this.height) moved[row * this.width + column] = value;
    });
    this.ink = moved;
    this.#changed(true);
  }

  #changed(isDone = false) {
    this.version += 1;
    this.#say("");
    this.#show();
    if (this.isEmpty) return this.#forget();
    this.encode();
    if (isDone) this.score();
  }

  // Bytes (H, W, C).
  #bytes() {
    const channels = this.latents.model.image_shape[2];
    return Array.from(this.ink).flatMap((value) => Array(channels).fill(Math.round(255 * value)));
  }

  #show() {
    paint(this.#canvas, this.#bytes(), this.latents.model.image_shape);
    if (document.activeElement !== this.#canvas || !this.#canvas.matches(":focus-visible")) return;
    const context = this.#canvas.getContext("2d");
    context.fillStyle = "rgb(255 169 14 / 80%)";
    context.fillRect(...this.cursor, 1, 1);
  }

  #content() {
    const [height, width, channels] = this.latents.model.image_shape;
    const bytes = this.#bytes();
    const pixels = Array.from({ length: height }, (_, row) => Array.from({ length: width }, (_, column) =>
      bytes.slice((row * width + column) * channels, (row * width + column + 1) * channels)));
    return { pixels, class: this.latents.label };
  }

  async #encode() {
    if (this.isEmpty) return;
    this.#encoding = await (await ask("encode", this.#content())).json();
    if (this.isEmpty) return;
    paint(element("seen"), this.#encoding.pixels, this.latents.model.image_shape);
    paint(element("reconstruction"), this.#encoding.reconstruction, this.latents.model.image_shape);
    element("use-drawing").disabled = false;
    this.#list();
    this.onEncoded(this.#encoding.mean);
  }

  #list() {
    const { mean, scale } = this.#encoding;
    element("encoding").hidden = false;
    element("moments").replaceChildren(...this.latents.model.order.slice(0, SHOWN).map((latent) => {
      const row = document.createElement("div");
      const name = document.createElement("dt");
      const value = document.createElement("dd");
      name.textContent = `latent ${latent}`;
      value.textContent = `${text(mean[latent])} \u00b1 ${text(scale[latent])}`;
      row.append(name, value);
      return row;
    }));
  }

  async #score() {
    if (this.isEmpty) return;
    const { version } = this;
    const content = this.#content();
    const name = this.latents.label === null ? "log p(x)" : `log p(x | class ${this.latents.label})`;
    this.#say(`Estimating ${name} \u2026`);
    try {
      const score = await (await ask("score", content)).json();
      // Not beside another drawing, whose own score is on its way.
      if (this.version === version) this.#say(this.#describe(name, score), this.#warn(score));
    } catch (error) {
      this.#say("");
      throw error;
    }
  }

  #say(score, warning = "") {
    element("score").textContent = score;
    element("score-warning").textContent = warning;
  }

  #describe(name, score) {
    const { num_samples: samples, is_density: isDensity } = this.latents.model;
    const density = isDensity ? "" : "; of grey pixels this Bernoulli formula is no density";
    return `${name} ${text(score.log_p)} \u00b1 ${text(score.standard_error)} nats `
      + `(${samples.toLocaleString("en")} importance samples; effective sample size `
      + `${text(score.effective_sample_size, 0)}${density}); ELBO ${text(score.elbo)} nats`;
  }

  #warn({ reliable, pareto_k: k }) {
    if (reliable) return "";
    const why = k === null ? "" : ` (Pareto k ${text(k)})`;
    return `Not reliable, and likely too low: few of the samples carry the weight${why}.`;
  }

  #forget() {
    this.#encoding = null;
    element("use-drawing").disabled = true;
    element("encoding").hidden = true;
    for (const id of ["seen", "reconstruction"]) {
      element(id).getContext("2d").clearRect(0, 0, this.width, this.height);
    }
    this.#say("");
    this.onEncoded(null);
  }
}
