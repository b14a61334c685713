// Arithmetic on grids of numbers: reads, convolves, pools and formats them. Knows no element of the page.

/** Decodes a tensor of the service {shape, float32: base64} to {shape, values}, row-major. */
export function tensor(encoded) {
  const bytes = Uint8Array.from(atob(encoded.float32), (letter) => letter.charCodeAt(0));
  return { shape: encoded.shape, values: new Float32Array(bytes.buffer) }; // little-endian, as browsers are
}

/** Decodes the 784 pixels that the network saw (base64, 0 to 255) to one map of ink, 0 to 1. */
export function inkOf(encoded) {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  return { shape: [1, 28, 28], values: Float32Array.from(bytes, (level) => level / 255) };
}

/** Returns map number `index` of a tensor [maps, height, width]; a view, not a copy. */
export function mapOf(maps, index) {
  const [, height, width] = maps.shape;
  const size = height * width;
  return { height, width, values: maps.values.subarray(index * size, (index + 1) * size) };
}

/** Returns rows of {value, isPadding}: the window whose corner is at (top, left), which may lie outside the map. */
export function windowOf(map, top, left, height, width) {
  return Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (_, column) => {
      const y = top + row;
      const x = left + column;
      const isPadding = y < 0 || x < 0 || y >= map.height || x >= map.width;
      return { value: isPadding ? 0 : map.values[y * map.width + x], isPadding };
    }),
  );
}

/** Multiplies a window by a kernel: rows of products, and their sum. */
export function products(window, kernel) {
  const rows = window.map((row, y) => row.map((cell, x) => cell.value * kernel[y][x]));
  return { rows, sum: rows.flat().reduce((sum, each) => sum + each, 0) };
}

/** Convolves a map with a square kernel (rows). Padding "same" keeps the size, "valid" uses whole windows only. */
export function convolve(map, kernel, padding) {
  const size = kernel.length;
  const around = padding === "same" ? Math.floor(size / 2) : 0;
  return slide(map, size, 1, around, (window) => products(window, kernel).sum);
}

/** Pools a map: the largest value of each window of `size` x `size`, `stride` apart. */
export function maxPool(map, size, stride) {
  return slide(map, size, stride, 0, (window) => Math.max(...window.flat().map((cell) => cell.value)));
}

/** Returns the length of a side of `length` after a convolution or pooling; `before`, `after`: padding. */
export function sideAfter(length, size, stride, before, after) {
  return Math.floor((length + before + after - size) / stride) + 1;
}

function slide(map, size, stride, around, value) {
  const height = sideAfter(map.height, size, stride, around, around);
  const width = sideAfter(map.width, size, stride, around, around);
  const values = new Float32Array(height * width);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      values[y * width + x] = value(windowOf(map, y * stride - around, x * stride - around, size, size));
    }
  }
  return { height, width, values };
}

/** Makes a map of rows of numbers. */
export function mapFrom(rows) {
  return { height: rows.length, width: rows[0].length, values: Float32Array.from(rows.flat()) };
}

/** Formats a number as people of that language write it. */
export function written(value, language, digits = 2) {
  // What rounds to 0 is 0, or a small negative number would read "-0".
  const rounded = Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value;
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(rounded);
}

/** Formats a share, 0 to 1, as a percentage. */
export function percent(value, language) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(value);
}
