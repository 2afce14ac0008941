// From one test image to another, by way of their encodings.

import { ask, attempt, latest } from "./api.js";
import { paint, text } from "./pictures.js";

const COUNT = 9;
const GAP = 1;

const element = (id) => document.getElementById(id);

export class Between {
  #t = element("t");
  #strip = element("strip");
  #ends = { from: null, to: null };

  constructor(latents) {
    this.latents = latents;
    const [height, width] = latents.model.image_shape;
    Object.assign(this.#strip, { width: COUNT * (width + GAP) - GAP, height });
    this.decode = latest(() => this.#decode());
    this.#t.addEventListener("input", () => this.#move());
    latents.addEventListener("class", () => this.decode());
    latents.addEventListener("decoded", ({ detail }) => this.#follow(detail));
    for (const name of ["from", "to"]) {
      const number = element(name);
      const random = element(`${name}-random`);
      number.max = latents.model.num_images - 1;
      number.value = Math.min(number.value, number.max);
      const choose = latest(() => this.#choose(name, true));
      number.addEventListener("change", choose);
      random.addEventListener("click", () => {
        number.value = Math.floor(Math.random() * latents.model.num_images);
        choose();
      });
      attempt(() => this.#choose(name, false));
    }
  }

  // Encodes the test image of a number, in whose class the model then is where it takes one.
  async #choose(name, takesClass) {
    const encoding = await (await ask("encode", { image: element(name).valueAsNumber })).json();
    this.#ends[name] = encoding.mean;
    paint(element(`${name}-picture`), encoding.pixels, this.latents.model.image_shape);
    if (takesClass && encoding.class !== null) this.latents.setClass(encoding.class);
    this.decode();
  }

  #at(t) {
    return this.#ends.from.map((start, i) => start + t * (this.#ends.to[i] - start));
  }

  // The strip, and the image between as long as the page's latents are elsewhere.
  async #decode() {
    if (!this.#ends.from || !this.#ends.to) return;
    const places = Array.from({ length: COUNT }, (_, i) => i / (COUNT - 1));
    const z = [...places, this.#t.valueAsNumber].map((t) => this.#at(t));
    const response = await ask("decode", { z, class: this.latents.label });
    const pixels = new Uint8Array(await response.arrayBuffer());
    const shape = this.latents.model.image_shape;
    const length = shape[0] * shape[1] * shape[2];
    const image = (i) => pixels.subarray(i * length, (i + 1) * length);
    places.forEach((_, i) => paint(this.#strip, image(i), shape, i * (shape[1] + GAP)));
    paint(element("between"), image(COUNT), shape);
  }

  #move() {
    element("t-value").textContent = text(this.#t.valueAsNumber);
    if (!this.#ends.from || !this.#ends.to) return;
    this.latents.moveTo(this.#at(this.#t.valueAsNumber));
  }

  #follow(pixels) {
    if (this.#isAt()) paint(element("between"), pixels, this.latents.model.image_shape);
  }

  // Whether the page's latents are those of the slider.
  #isAt() {
    if (!this.#ends.from || !this.#ends.to) return false;
    return this.#at(this.#t.valueAsNumber).every((value, i) => value === this.latents.z[i]);
  }
}
