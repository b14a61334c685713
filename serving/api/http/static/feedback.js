// Lets the visitor say what the picture really holds, where the service takes feedback: then an answer has an id.

import { giveFeedback } from "./service.js";
import { say } from "./words.js";

const LONGEST_FIELD = 24; // signs: it fits a phone; a longer text scrolls
const byId = (id) => document.getElementById(id);
let shown = ""; // id of the request whose answer is shown

/** Makes the eleven buttons. `report`: gets the error of a service that could not take it. */
export function layOutFeedback(language, report) {
  byId("truths").replaceChildren(
    ...[...Array(10).keys(), null].map((digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.truth = digit ?? "none";
      const truth = digit === null ? { no_digit: true } : { digit };
      button.addEventListener("click", () => send(truth, language, report));
      return button;
    }),
  );
  byId("texts").addEventListener("submit", (event) => {
    event.preventDefault();
    send({ index: Number(event.target.dataset.line), text: event.target.elements[0].value }, language, report);
  });
}

/**
 * Shows what can be said of an answer: buttons for one of one digit, a field for each line of a reading. Hides it where
 * there is no answer or the service takes no feedback.
 */
export function showFeedback(answer, language) {
  const id = answer?.request_id ?? "";
  byId("feedback").hidden = !id;
  byId("truths").hidden = Boolean(answer?.lines);
  if (id !== shown) {
    byId("thanks").textContent = "";
    byId("texts").replaceChildren(...(answer?.lines ?? []).flatMap((line, at) => (line.text ? [form(line.text, at)] : [])));
  }
  shown = id;
  for (const button of byId("truths").children) {
    const { truth } = button.dataset;
    button.textContent = truth === "none" ? say(language, "no_digit_at_all") : truth;
    button.setAttribute("aria-label", truth === "none" ? say(language, "that_was_none") : say(language, "that_was", truth));
  }
  for (const each of byId("texts").children) {
    const [input, button] = each.elements;
    input.setAttribute("aria-label", say(language, "text_of_line", Number(each.dataset.line) + 1));
    input.title = say(language, "as_many_digits", input.maxLength);
    button.textContent = say(language, "keep");
  }
}

/** Makes the field for a line: what was read, to be put right. Another number of digits is not sent. */
function form(text, at) {
  const element = document.createElement("form");
  element.className = "tools";
  element.dataset.line = at;
  element.innerHTML = '<input inputmode="numeric" autocomplete="off" required /> <button></button>';
  const [input] = element.elements;
  const [length, size] = [text.length, Math.min(text.length + 2, LONGEST_FIELD)];
  Object.assign(input, { value: text, size, maxLength: length, pattern: `[0-9]{${length}}` });
  return element;
}

async function send(truth, language, report) {
  const id = shown;
  try {
    await giveFeedback(id, truth);
    if (id === shown) byId("thanks").textContent = say(language(), "thanks");
  } catch (error) {
    report(error);
  }
}
