// Where the page stands: the latents and the class that are decoded. Everything else follows its events.

import { ask, latest } from "./api.js";

const KEPT = 100;

export class Latents extends EventTarget {
  constructor(model) {
    super();
    this.model = model;
    this.label = model.num_classes ? 0 : null;
    this.z = [...this.prior.center];
    this.times = [];
    this.count = 0;
    this.decode = latest(() => this.#decode());
  }

  get prior() {
    return this.model.priors[this.label ?? 0];
  }

  moveTo(z) {
    this.z = [...z];
    this.#changed();
  }

  set(latent, value) {
    this.z[latent] = value;
    this.#changed();
  }

  // To another class, as far from its prior's mean as from the old one's, in standard deviations.
  setClass(label) {
    if (label === this.label) return;
    const old = this.prior;
    this.label = label;
    const { center, scale } = this.prior;
    this.z = this.z.map((value, i) => center[i] + (scale[i] * (value - old.center[i])) / old.scale[i]);
    this.dispatchEvent(new Event("class"));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    this.decode();
  }

  async #decode() {
    const start = performance.now();
    const response = await ask("decode", { z: [this.z], class: this.label });
    const pixels = new Uint8Array(await response.arrayBuffer());
    this.dispatchEvent(new CustomEvent("decoded", { detail: pixels }));
    this.times = [...this.times, performance.now() - start].slice(-KEPT);
    this.count += 1;
    this.dispatchEvent(new Event("timed"));
  }
}
