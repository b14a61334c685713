// Shows a reading of several digits: their boxes over the sheet, and a table of the lines.

import { percent } from "./numbers.js";
import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SHEET = 280; // side of the sheet in its own pixels, in whose middle the picture is shown as large as it fits
const LABEL = { smallest: 8, largest: 14 }; // height of a digit's label, in the same pixels
const SMALLEST_LABELLED = 14; // height of a box; labels of smaller ones would cover what they name
const byId = (id) => document.getElementById(id);

/** Returns true for a reading of two digits or more; what is no digit does not count. */
export function hasSeveral(reading) {
  return reading.lines.reduce((digits, line) => digits + line.text.length, 0) > 1;
}

/** Returns the verdict on a reading. */
export function readingVerdict(reading, language) {
  const lines = reading.lines.filter((line) => line.text);
  if (lines.length > 1) return say(language, "several_lines", lines.length);
  const missing = lines[0].refused ? ` ${say(language, "missing")}` : "";
  return say(language, "one_line", lines[0].text, percent(lines[0].probability, language)) + missing;
}

/** Shows boxes and lines of a reading. null: there is none. */
export function showReading(reading, language) {
  byId("boxes").replaceChildren(...(reading ? boxes(reading) : []));
  byId("lines").hidden = !reading;
  byId("lines").tBodies[0].replaceChildren(...(reading?.lines ?? []).map((line, at) => row(line, at, language)));
}

function row(line, at, language) {
  const element = document.createElement("tr");
  const cells = [line.text || "–", percent(line.probability, language), line.refused ? say(language, "missing") : ""];
  element.innerHTML = `<th scope="row">${at + 1}</th>`;
  for (const text of cells) element.insertCell().textContent = text;
  return element;
}

function boxes(reading) {
  const scale = Math.min(SHEET / reading.width, SHEET / reading.height);
  const [left, top] = [(SHEET - reading.width * scale) / 2, (SHEET - reading.height * scale) / 2];
  return reading.lines.flatMap((line) =>
    line.digits.map((sign) => {
      const [x, y, width, height] = sign.box.map((value) => value * scale);
      const group = draw("g", { class: sign.refused ? "refused" : "" });
      const stroke = Math.min(1.5, height / 12);
      group.append(draw("rect", { x: left + x, y: top + y, width, height, "stroke-width": stroke }));
      if (!sign.refused && height >= SMALLEST_LABELLED) group.append(...label(sign.digit, left + x, top + y, height));
      return group;
    }),
  );
}

/** Makes the label of a box: the digit on a plate above the box, or within it at the sheet's top. */
function label(digit, x, y, height) {
  const size = Math.min(LABEL.largest, Math.max(LABEL.smallest, height / 3));
  const bottom = Math.max(y, size);
  const plate = draw("rect", { class: "plate", x, y: bottom - size, width: size * 0.8, height: size });
  const text = draw("text", { x: x + size * 0.4, y: bottom - size * 0.15, "font-size": size });
  text.textContent = digit;
  return [plate, text];
}

function draw(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
