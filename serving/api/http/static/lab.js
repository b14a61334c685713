// The kernel lab: a kernel to edit over the drawing, with padding and pooling; and the lesson's two examples.

import { CellChooser, fillTable, palette } from "./grid.js";
import { convolve, mapFrom, maxPool, products, windowOf, written } from "./numbers.js";
import { say } from "./words.js";

const byId = (id) => document.getElementById(id);

export const KERNELS = {
  identity: [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
  sharpen: [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
  edges: [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
  blur: Array.from({ length: 3 }, () => Array(3).fill(1 / 9)),
  upright: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
  level: [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
};
export const PATCH = [[21, 16, 11], [25, 22, 18], [19, 20, 21]];
export const MAP = [[0.3, 0.6, 1], [0.5, 0.1, 0.3], [1, 0.5, 0.9]];

export class Lab {
  constructor() {
    this.kernel = KERNELS.sharpen.map((row) => [...row]);
    this.map = null;
    this.chooser = new CellChooser(byId("lab-map"), (y, x) => this.showCell(y, x));
    this.inputs = Array.from({ length: 9 }, (_, at) => {
      const input = document.createElement("input");
      Object.assign(input, { type: "number", step: "any" });
      input.addEventListener("input", () => {
        const value = Number(input.value);
        if (input.value !== "" && Number.isFinite(value)) this.kernel[Math.floor(at / 3)][at % 3] = value;
        byId("lab-preset").value = "";
        this.update();
      });
      return input;
    });
    byId("lab-kernel").replaceChildren(...this.inputs);
    byId("lab-preset").addEventListener("change", (event) => {
      if (event.target.value) this.take(KERNELS[event.target.value]);
    });
    for (const id of ["lab-padding", "lab-pool", "lab-stride"]) {
      byId(id).addEventListener("change", () => this.update());
    }
  }

  /** Writes all texts in `language`. */
  speak(language) {
    this.language = language;
    const options = [["", "own_kernel"], ...Object.keys(KERNELS).map((name) => [name, `kernel_${name}`])];
    const chosen = byId("lab-preset").value || (this.map ? "" : "sharpen");
    byId("lab-preset").replaceChildren(...options.map(([value, word]) => new Option(say(language, word), value)));
    byId("lab-preset").value = chosen;
    this.inputs.forEach((input, at) => {
      input.setAttribute("aria-label", say(language, "weight", Math.floor(at / 3) + 1, (at % 3) + 1));
    });
    this.fillInputs();
    this.showExamples();
    if (this.map) this.update();
  }

  /** Takes a new drawing: a map of ink, 0 to 1, as the network saw it. */
  show(map) {
    const isFirst = !this.map;
    this.map = map;
    byId("lab").hidden = false;
    if (isFirst) this.chooser.cell = { y: 13, x: 13 }; // the middle, where there is ink
    this.update();
  }

  take(kernel) {
    this.kernel = kernel.map((row) => [...row]);
    this.fillInputs();
    this.update();
  }

  fillInputs() {
    this.inputs.forEach((input, at) => {
      input.value = String(Number(this.kernel[Math.floor(at / 3)][at % 3].toFixed(3)));
    });
  }

  update() {
    if (!this.map) return;
    const padding = byId("lab-padding").value;
    const pool = Number(byId("lab-pool").value);
    this.convolved = convolve(this.map, this.kernel, padding);
    const stride = Number(byId("lab-stride").value);
    const shown = pool ? maxPool(this.convolved, pool, stride) : this.convolved;
    byId("lab-stride").disabled = !pool;
    const size = ({ height, width }) => `${height}×${width}`;
    byId("lab-sizes").textContent = [this.map, this.convolved, ...(pool ? [shown] : [])].map(size).join(" → ");
    this.chooser.show(shown, palette());
  }

  showCell(y, x) {
    if (!this.convolved) return;
    const pool = Number(byId("lab-pool").value);
    const write = (value) => written(value, this.language, 3);
    const caption = (word) => say(this.language, word);
    byId("lab-kernel-box").hidden = Boolean(pool);
    if (pool) {
      const stride = Number(byId("lab-stride").value);
      const window = windowOf(this.convolved, y * stride, x * stride, pool, pool);
      const largest = Math.max(...window.flat().map((cell) => cell.value));
      fillTable(byId("lab-window"), caption("window"), window, write, (each) => (each === largest ? "largest" : ""));
      byId("lab-sum").textContent = say(this.language, "pooled", write(largest), y, x);
      return;
    }
    const around = byId("lab-padding").value === "same" ? 1 : 0;
    const window = windowOf(this.map, y - around, x - around, 3, 3);
    const made = products(window, this.kernel);
    fillTable(byId("lab-window"), caption("window"), window, write, (_, cell) => (cell.isPadding ? "padding" : ""));
    fillTable(byId("lab-products"), caption("products"), made.rows, write);
    byId("lab-sum").textContent = say(this.language, "lab_sum", write(made.sum), y, x);
  }

  /** Computes the lesson's two examples with the functions that the rest of the page uses, and shows them. */
  showExamples() {
    const write = (value) => written(value, this.language);
    const caption = (word) => say(this.language, word);
    const made = products(windowOf(mapFrom(PATCH), 0, 0, 3, 3), KERNELS.sharpen);
    fillTable(byId("example-patch"), caption("patch"), PATCH, write);
    fillTable(byId("example-kernel"), caption("kernel"), KERNELS.sharpen, write);
    fillTable(byId("example-products"), caption("products"), made.rows, write);
    byId("example-sum").textContent = say(this.language, "example_sum", write(made.sum));
    const pooled = maxPool(mapFrom(MAP), 2, 1);
    const rows = [0, 1].map((y) => [...pooled.values.subarray(2 * y, 2 * y + 2)]);
    fillTable(byId("example-map"), caption("feature_map"), MAP, write);
    fillTable(byId("example-pooled"), caption("pooled_map"), rows, write);
    const image = { height: 28, width: 28, values: new Float32Array(784) };
    const [same, valid] = ["same", "valid"].map((padding) => convolve(image, KERNELS.sharpen, padding));
    const sizes = [same, valid].map(({ height, width }) => `${height}×${width}`);
    byId("example-padding").textContent = say(this.language, "example_padding", ...sizes);
  }
}
