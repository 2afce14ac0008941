// Puts the page together.

import { ask, attempt, load } from "./api.js";
import { Between } from "./between.js";
import { Drawing } from "./drawing.js";
import { Latents } from "./latents.js";
import { paint, size, text } from "./pictures.js";
import { Plane } from "./plane.js";
import { addSliders } from "./sliders.js";

const element = (id) => document.getElementById(id);

function describe(model) {
  const drawn = model.is_drawn ? "; an image is a draw, and takes its time" : "";
  const latents = `${model.order.length} latent${model.order.length > 1 ? "s" : ""}`;
  document.title = `${model.preset} \u2013 jaxvae explore`;
  element("preset").textContent = model.preset;
  element("about").textContent = `${model.run}: ${latents}, data ${model.data}${drawn}`;
}

function addClasses(latents) {
  const select = element("class");
  const { num_classes: count } = latents.model;
  element("class-field").hidden = !count;
  select.append(...Array.from({ length: count }, (_, label) => new Option(label, label)));
  select.addEventListener("change", () => latents.setClass(Number(select.value)));
  latents.addEventListener("class", () => { select.value = latents.label; });
}

function addPicture(latents) {
  latents.addEventListener("decoded", ({ detail }) => paint(element("decoded"), detail, latents.model.image_shape));
  element("center").addEventListener("click", () => latents.moveTo(latents.prior.center));
  element("draw-prior").addEventListener("click", () => attempt(async () => {
    const { z } = await (await ask("draw", { class: latents.label })).json();
    latents.moveTo(z);
  }));
}

// The round trips of the last moves, for the reader and for whoever measures them.
function addTimes(latents) {
  const output = element("round-trip");
  latents.addEventListener("timed", () => {
    const sorted = [...latents.times].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    Object.assign(output.dataset, { count: latents.count, median: at(0.5), p95: at(0.95) });
    const moves = sorted.length === 1 ? "one move" : `the last ${sorted.length} moves`;
    output.textContent = `median ${text(at(0.5), 1)} ms of ${moves}`;
  });
}

await attempt(async () => {
  const model = await load();
  const latents = new Latents(model);
  size(document.querySelectorAll(".picture"), model.image_shape);
  describe(model);
  addClasses(latents);
  addPicture(latents);
  addTimes(latents);
  addSliders(latents);
  const plane = model.plane && new Plane(latents);
  new Drawing(latents, (mean) => plane?.mark(mean));
  new Between(latents);
  latents.decode();
});
document.documentElement.dataset.ready = "";
