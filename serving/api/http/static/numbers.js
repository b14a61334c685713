// Numbers in grids: read from the service, summed, pooled and written. Knows no element of the page.

/** A tensor of the service: {shape, values}, row-major. */
export function tensor(told) {
  const bytes = Uint8Array.from(atob(told.float32), (letter) => letter.charCodeAt(0));
  return { shape: told.shape, values: new Float32Array(bytes.buffer) };
}

/** The 784 pixels that the network saw, as one map of ink from 0 to 1. */
export function inkOf(told) {
  const bytes = Uint8Array.from(atob(told), (letter) => letter.charCodeAt(0));
  return { shape: [1, 28, 28], values: Float32Array.from(bytes, (level) => level / 255) };
}

/** Map number `index` of a tensor [maps, height, width]. */
export function mapOf(maps, index) {
  const [, height, width] = maps.shape;
  const size = height * width;
  return { height, width, values: maps.values.subarray(index * size, (index + 1) * size) };
}

/** The window of `height` x `width` whose corner is at (top, left), which may lie outside: {value, isPadding} rows. */
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

/** Rows of products, and their sum. */
export function products(window, kernel) {
  const rows = window.map((row, y) => row.map((cell, x) => cell.value * kernel[y][x]));
  return { rows, sum: rows.flat().reduce((sum, each) => sum + each, 0) };
}

/** A map seen through a kernel (rows). Padding "same" keeps its size, "valid" takes no window that leaves it. */
export function convolve(map, kernel, padding) {
  const size = kernel.length;
  const around = padding === "same" ? Math.floor(size / 2) : 0;
  return slide(map, size, 1, around, (window) => products(window, kernel).sum);
}

/** The largest value of each window of `size` x `size`. */
export function maxPool(map, size, stride) {
  return slide(map, size, stride, 0, (window) => Math.max(...window.flat().map((cell) => cell.value)));
}

/** How long a side of `length` is afterwards. */
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

/** Rows of numbers as a map. */
export function mapFrom(rows) {
  return { height: rows.length, width: rows[0].length, values: Float32Array.from(rows.flat()) };
}

/** A number as people of that language write it. */
export function written(value, language, digits = 2) {
  const rounded = Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value;
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(rounded);
}

/** A share as a percentage. */
export function percent(value, language) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(value);
}
