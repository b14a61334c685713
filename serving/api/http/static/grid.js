// Paints maps as pictures, a square for each value; lets people choose a square; fills tables of numbers.

/** Reads a CSS variable as [red, green, blue]. A canvas turns any notation of a colour into #rrggbb. */
function colour(name) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const hex = probe.fillStyle;
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** Returns the page's colours for maps, light or dark as the page is now. */
export function palette() {
  return { zero: colour("--map-zero"), high: colour("--map-high"), low: colour("--map-low") };
}

/** Paints a map {height, width, values}. `largest`: the value with full colour; 0: the map's own largest. */
export function paintMap(canvas, map, colours, largest = 0) {
  const full = largest || map.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9); // a divisor: not 0
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.width, map.height);
  map.values.forEach((value, index) => {
    const share = Math.min(Math.abs(value) / full, 1);
    const end = value < 0 ? colours.low : colours.high;
    for (let part = 0; part < 3; part += 1) {
      image.data[4 * index + part] = colours.zero[part] + share * (end[part] - colours.zero[part]);
    }
    image.data[4 * index + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

/** Map in a frame whose squares can be chosen, with a pointer or the arrow keys. */
export class CellChooser {
  /** `frame`: an element with a canvas and a mark in it. `chosen(y, x)` is called for each choice. */
  constructor(frame, chosen) {
    this.frame = frame;
    this.canvas = frame.querySelector("canvas");
    this.mark = frame.querySelector(".mark");
    this.chosen = chosen;
    this.cell = { y: 0, x: 0 };
    this.map = { height: 1, width: 1, values: [0] };
    frame.addEventListener("pointermove", (event) => this.follow(event));
    frame.addEventListener("pointerdown", (event) => this.follow(event));
    frame.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Shows another map. The same square stays chosen, or the nearest one that the map has. */
  show(map, colours) {
    this.map = map;
    paintMap(this.canvas, map, colours);
    this.choose(this.cell.y, this.cell.x);
  }

  choose(y, x) {
    const { map } = this;
    this.cell = { y: Math.min(Math.max(y, 0), map.height - 1), x: Math.min(Math.max(x, 0), map.width - 1) };
    this.mark.style.left = `${(100 * this.cell.x) / map.width}%`;
    this.mark.style.top = `${(100 * this.cell.y) / map.height}%`;
    this.mark.style.width = `${100 / map.width}%`;
    this.mark.style.height = `${100 / map.height}%`;
    this.chosen(this.cell.y, this.cell.x);
  }

  follow(event) {
    const box = this.canvas.getBoundingClientRect();
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.map.height);
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.map.width);
    if (y !== this.cell.y || x !== this.cell.x) this.choose(y, x);
  }

  onKey(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [y, x] = moves[event.key];
    this.choose(this.cell.y + y, this.cell.x + x);
  }
}

/** Fills a table with rows of numbers. `write(value)` makes a cell's text, `style(value, cell)` its CSS class. */
export function fillTable(table, caption, rows, write, style = () => "") {
  const head = document.createElement("caption");
  head.textContent = caption;
  const body = document.createElement("tbody");
  for (const row of rows) {
    const line = body.insertRow();
    for (const cell of row) {
      const place = line.insertCell();
      const value = typeof cell === "object" ? cell.value : cell;
      place.textContent = write(value);
      place.className = style(value, cell);
    }
  }
  table.replaceChildren(head, body);
}
