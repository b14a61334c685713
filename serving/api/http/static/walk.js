// The walk through the layers: shows their maps, and for a chosen square of a map the numbers that made it.

import { CellChooser, fillTable, paintMap, palette } from "./grid.js";
import { inkOf, mapOf, products, sideAfter, tensor, windowOf, written } from "./numbers.js";
import { say } from "./words.js";

const byId = (id) => document.getElementById(id);

export class Walk {
  constructor() {
    this.layers = [];
    this.at = 0; // index of the layer
    this.filter = 0; // index of the map
    this.channel = null; // the input map that is shown; null: the one that matters most
    this.chooser = new CellChooser(byId("walk-map"), (y, x) => this.showCell(y, x));
    byId("walk-channel").addEventListener("change", (event) => {
      this.channel = event.target.value === "" ? null : Number(event.target.value);
      this.showCell(this.chooser.cell.y, this.chooser.cell.x);
    });
    byId("walk-before").addEventListener("change", () => this.showMaps());
  }

  /** Shows another explanation. The same layer, map and square stay chosen where it has them. */
  show(explained, language) {
    this.language = language;
    this.pixels = inkOf(explained.pixels);
    const outputs = new Map();
    this.layers = explained.layers.map((encoded) => {
      const before = encoded.before_activation && tensor(encoded.before_activation);
      const layer = { ...encoded, out: tensor(encoded.output), before };
      // The first kernel takes pixels of 0 to 255. The page shows ink from 0 to 1, and so weights 255 times as large.
      layer.scale = encoded.inputs.length ? 1 : 255;
      layer.weights = encoded.kernel && tensor(encoded.kernel);
      layer.biases = encoded.bias && tensor(encoded.bias);
      layer.input = encoded.inputs.length ? joined(encoded.inputs.map((name) => outputs.get(name))) : this.pixels;
      outputs.set(encoded.name, layer.out); // the service sends layers in an order in which inputs come first
      return layer;
    });
    byId("walk").hidden = false;
    this.at = Math.min(this.at, this.layers.length - 1);
    // Another network may have answered, with fewer maps in the layer at this place.
    this.filter = Math.min(this.filter, this.layer.out.shape[0] - 1);
    if (this.channel >= this.layer.input.shape[0]) this.channel = null;
    this.showTabs();
    this.showMaps();
  }

  get layer() {
    return this.layers[this.at];
  }

  showTabs() {
    const tabs = byId("walk-layers");
    const focused = tabs.contains(document.activeElement);
    tabs.replaceChildren(
      ...this.layers.map((layer, at) => {
        const tab = document.createElement("button");
        tab.type = "button";
        tab.textContent = this.title(layer);
        tab.setAttribute("aria-pressed", String(at === this.at));
        tab.addEventListener("click", () => {
          this.at = at;
          this.filter = 0;
          this.channel = null;
          this.showTabs();
          this.showMaps();
        });
        return tab;
      }),
    );
    if (focused) tabs.children[this.at].focus();
  }

  /** Returns a layer's title. Names are "convolution_1" to "second_column_2_convolution_1", as exported. */
  title(layer) {
    const [, column, number] = /^(?:fast_|second_)?(?:column_(\d+)_)?[a-z]+(?:_(\d+))?$/.exec(layer.name) ?? [];
    const kind = layer.name.endsWith("logits") ? "logits" : layer.kind;
    return [say(this.language, `kind_${kind}`), number, column && `(${say(this.language, "column", column)})`]
      .filter(Boolean)
      .join(" ");
  }

  showMaps() {
    const { layer, language } = this;
    const colours = palette();
    const isDense = layer.kind === "dense";
    byId("walk-description").textContent = this.description(layer);
    byId("walk-before-box").hidden = !layer.before;
    byId("walk-cell").hidden = isDense;
    byId("walk-units").hidden = !isDense;
    const shown = this.shown();
    if (isDense) {
      byId("walk-maps").replaceChildren();
      paintMap(byId("walk-units-map"), { height: 1, width: shown.shape[0], values: shown.values }, colours);
      byId("walk-units-map").setAttribute("aria-label", say(language, "units", shown.shape[0]));
      const some = [...shown.values].slice(0, 10);
      fillTable(
        byId("walk-units-table"),
        say(language, layer.name.endsWith("logits") ? "logits_values" : "first_units"),
        [some.map((_, index) => index), some],
        (value) => written(value, language),
      );
      return;
    }
    const largest = shown.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
    byId("walk-maps").replaceChildren(
      ...Array.from({ length: shown.shape[0] }, (_, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-label", say(language, "map", index + 1));
        button.setAttribute("aria-pressed", String(index === this.filter));
        const canvas = document.createElement("canvas");
        paintMap(canvas, mapOf(shown, index), colours, largest);
        button.append(canvas);
        if (layer.weights) {
          const kernel = document.createElement("canvas");
          kernel.className = "kernel";
          paintMap(kernel, kernelMap(layer, index), colours);
          button.append(kernel);
        }
        button.addEventListener("click", () => {
          this.filter = index;
          this.channel = null;
          for (const each of byId("walk-maps").children) each.setAttribute("aria-pressed", String(each === button));
          this.showMap();
        });
        return button;
      }),
    );
    this.showMap();
  }

  /** Returns the layer's values before the activation if that is chosen, else those after it. */
  shown() {
    return this.layer.before && byId("walk-before").checked ? this.layer.before : this.layer.out;
  }

  /** Describes in a sentence what the layer does, with its sizes. */
  description(layer) {
    const { language } = this;
    if (layer.kind === "dense") {
      return say(language, layer.name.endsWith("logits") ? "logits_description" : "dense_description", layer.out.shape[0]);
    }
    const [maps, height, width] = layer.out.shape;
    const [channels, before] = layer.input.shape;
    const [size] = layer.kernel_size;
    const [top, , bottom] = layer.padding;
    const [stride] = layer.strides;
    const side = sideAfter(before, size, stride, top, bottom);
    const sum = `(${before} + ${top + bottom} − ${size}) / ${stride} + 1 = ${side}`;
    if (layer.kind === "max_pooling") return say(language, "pooling_description", size, before, height, sum);
    const padding = say(language, top + bottom === 0 ? "valid" : before === height ? "same" : "other_padding");
    const [kernel, map] = [`${size}×${size}`, `${height}×${width}`];
    return say(language, "convolution_description", maps, kernel, channels, padding, map, sum);
  }

  showMap() {
    const map = mapOf(this.shown(), this.filter);
    const place = `${this.layer.name} ${this.filter}`;
    if (place !== this.place) this.chooser.cell = strongestCell(map); // something to see, not an empty corner
    this.place = place;
    this.chooser.show(map, palette());
  }

  /** Shows the window, the kernel, their products and the sum, with the numbers that the network had. */
  showCell(y, x) {
    const { layer, language, filter } = this;
    if (!layer || layer.kind === "dense") return;
    const [top, left] = layer.padding;
    const [down, right] = layer.strides;
    const [height, width] = layer.kernel_size;
    const window = (channel) => windowOf(mapOf(layer.input, channel), y * down - top, x * right - left, height, width);
    const write = (value) => written(value, language);
    const isPooling = layer.kind === "max_pooling";
    byId("walk-kernel-box").hidden = isPooling;
    byId("walk-channel-box").hidden = isPooling || layer.input.shape[0] === 1;
    const value = mapOf(layer.out, filter).values[y * layer.out.shape[2] + x];
    if (isPooling) {
      const cells = window(filter);
      this.fill("walk-window", "window", cells, write, (each) => (each === value ? "largest" : ""));
      byId("walk-sum").textContent = say(language, "pooled", write(value), y, x);
      return;
    }
    const parts = Array.from({ length: layer.input.shape[0] }, (_, channel) =>
      products(window(channel), kernelRows(layer, filter, channel)),
    );
    // The input map with the largest sum shows most of what made the value.
    const strongest = parts.reduce((best, part, at) => (Math.abs(part.sum) > Math.abs(parts[best].sum) ? at : best), 0);
    const channel = this.channel ?? strongest;
    this.fillChannels(strongest, channel);
    this.fill("walk-window", "window", window(channel), write, (_, cell) => (cell.isPadding ? "padding" : ""));
    this.fill("walk-kernel", "kernel", kernelRows(layer, filter, channel), write);
    this.fill("walk-products", "products", parts[channel].rows, write);
    const all = parts.reduce((sum, part) => sum + part.sum, 0);
    const bias = layer.biases.values[filter];
    const sum =
      parts.length === 1
        ? say(language, "sum_one", write(all))
        : say(language, "sum_many", write(parts[channel].sum), parts.length, write(all));
    const [before, after] = [write(all + bias), write(value)];
    const activated = say(language, "bias_and_relu", write(all), write(bias), before, after, y, x);
    byId("walk-sum").textContent = `${sum} ${activated}`;
  }

  fill(id, caption, rows, write, style) {
    fillTable(byId(id), say(this.language, caption), rows, write, style);
  }

  fillChannels(strongest, channel) {
    const choose = byId("walk-channel");
    const maps = this.layer.input.shape[0];
    const options = [["", say(this.language, "strongest", strongest + 1)]];
    for (let each = 0; each < maps; each += 1) options.push([String(each), say(this.language, "map", each + 1)]);
    choose.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    choose.value = this.channel === null ? "" : String(channel);
  }
}

/** Returns {y, x} of the largest value. */
function strongestCell(map) {
  const at = map.values.reduce((best, value, index) => (value > map.values[best] ? index : best), 0);
  return { y: Math.floor(at / map.width), x: at % map.width };
}

/** Joins the outputs of several columns to one list of values; only a dense layer has several inputs. */
function joined(tensors) {
  if (tensors.length === 1) return tensors[0];
  const values = new Float32Array(tensors.reduce((sum, each) => sum + each.values.length, 0));
  let at = 0;
  for (const each of tensors) {
    values.set(each.values, at);
    at += each.values.length;
  }
  return { shape: [values.length], values };
}

/** Returns the kernel of a filter for one input map, as rows. Weights are [filters, channels, height, width]. */
function kernelRows(layer, filter, channel) {
  const [, channels, height, width] = layer.weights.shape;
  const start = (filter * channels + channel) * height * width;
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => layer.weights.values[start + y * width + x] * layer.scale),
  );
}

/** Returns a filter's kernel as one map: its mean over the input maps. */
function kernelMap(layer, filter) {
  const [, channels, height, width] = layer.weights.shape;
  const values = new Float32Array(height * width);
  for (let channel = 0; channel < channels; channel += 1) {
    kernelRows(layer, filter, channel).flat().forEach((weight, at) => {
      values[at] += weight / channels;
    });
  }
  return { height, width, values };
}
