// A slider for each latent, the most active first.

import { text } from "./pictures.js";

const SHOWN_FIRST = 16;
// Of a slider's length.
const STEPS = 120;
// Above it a latent is active: Burda et al. 2016.
const ACTIVE = 0.01;

export function addSliders(latents) {
  const { order, num_active: active, num_encoded: encoded } = latents.model;
  const box = document.getElementById("sliders");
  const sliders = order.map((latent) => makeSlider(latents, latent));
  const update = () => sliders.forEach(({ show }) => show());
  const bound = () => sliders.forEach(({ bound }) => bound());
  bound();
  update();
  latents.addEventListener("class", bound);
  latents.addEventListener("change", update);
  box.append(...sliders.map(({ row }) => row));
  const share = active === null ? "" : `${active} of ${order.length} active over ${encoded.toLocaleString("en")} `
    + "test images; ";
  document.getElementById("latents-note").textContent = `${share}the most active first.`;
  addToggle(sliders.slice(SHOWN_FIRST).map(({ row }) => row), order.length);
}

function makeSlider(latents, latent) {
  const row = document.createElement("div");
  const label = document.createElement("label");
  const value = document.createElement("output");
  const input = document.createElement("input");
  const activity = latents.model.activity[latent];
  input.id = value.htmlFor = label.htmlFor = `latent-${latent}`;
  label.textContent = `latent ${latent}`;
  row.title = `activity ${text(activity)}`;
  row.className = activity > ACTIVE ? "latent" : "latent passive";
  input.type = "range";
  input.addEventListener("input", () => latents.set(latent, input.valueAsNumber));
  row.append(label, input, value);
  return {
    row,
    bound() {
      const low = latents.prior.low[latent];
      const high = latents.prior.high[latent];
      Object.assign(input, { min: low, max: high, step: (high - low) / STEPS });
    },
    show() {
      // The one that is being moved stays where the hand is.
      if (input.valueAsNumber !== latents.z[latent]) input.value = latents.z[latent];
      value.textContent = text(latents.z[latent]);
    },
  };
}

function addToggle(rows, count) {
  const button = document.getElementById("show-all");
  const set = (isOpen) => {
    rows.forEach((row) => { row.hidden = !isOpen; });
    button.setAttribute("aria-expanded", isOpen);
    button.textContent = isOpen ? `Show the first ${SHOWN_FIRST}` : `Show all ${count}`;
  };
  set(false);
  button.hidden = rows.length === 0;
  button.addEventListener("click", () => set(button.getAttribute("aria-expanded") !== "true"));
}
