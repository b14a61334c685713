// Lets the visitor say what the drawing really was, where the service takes feedback: then an answer has an id.

import { giveFeedback } from "./service.js";
import { say } from "./words.js";

const byId = (id) => document.getElementById(id);
let shown = ""; // id of the request whose answer is shown

/** Makes the eleven buttons. `report`: gets the error of a service that could not take it. */
export function layOutFeedback(language, report) {
  byId("truths").replaceChildren(
    ...[...Array(10).keys(), null].map((digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.truth = digit ?? "none";
      button.addEventListener("click", () => send(digit, language, report));
      return button;
    }),
  );
}

/** Shows the buttons for an answer of one digit, and hides them where there is none or the service takes no feedback. */
export function showFeedback(prediction, language) {
  const id = prediction?.request_id ?? "";
  byId("feedback").hidden = !id;
  if (id !== shown) byId("thanks").textContent = "";
  shown = id;
  for (const button of byId("truths").children) {
    const { truth } = button.dataset;
    button.textContent = truth === "none" ? say(language, "no_digit_at_all") : truth;
    button.setAttribute("aria-label", truth === "none" ? say(language, "that_was_none") : say(language, "that_was", truth));
  }
}

async function send(digit, language, report) {
  const id = shown;
  try {
    await giveFeedback(id, digit);
    if (id === shown) byId("thanks").textContent = say(language(), "thanks");
  } catch (error) {
    report(error);
  }
}
