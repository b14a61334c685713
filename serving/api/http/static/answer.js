// Shows the service's answer: a digit or its refusal with ten bars, or several digits; remarks on the picture; errors.

import { readingVerdict, showReading } from "./lines.js";
import { percent } from "./numbers.js";
import { say } from "./words.js";

const byId = (id) => document.getElementById(id);

/** Makes ten empty bars. */
export function layOutBars() {
  byId("bars").replaceChildren(
    ...Array.from({ length: 10 }, (_, digit) => {
      const row = document.createElement("tr");
      const cells = '<td class="track"><div class="bar"></div></td><td class="share"></td>';
      row.innerHTML = `<th scope="row">${digit}</th>${cells}`;
      return row;
    }),
  );
}

/**
 * Shows a prediction. null: there is none, because of `error` or because nothing is drawn.
 * `reading`: of several digits, shown in place of the one; null: there is none.
 */
export function showAnswer(prediction, reading, error, language) {
  showReading(reading, language);
  byId("bars").parentElement.hidden = Boolean(reading);
  const rows = [...byId("bars").rows];
  rows.forEach((row, digit) => {
    const share = prediction ? prediction.probabilities[digit] : 0;
    row.classList.toggle("likeliest", Boolean(prediction) && digit === prediction.digit && !prediction.refused);
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.querySelector(".share").textContent = prediction ? percent(share, language) : "";
  });
  const answer = byId("answer");
  answer.hidden = Boolean(reading);
  answer.classList.toggle("refused", Boolean(prediction?.refused));
  answer.textContent = prediction ? (prediction.refused ? "?" : prediction.digit) : "–";
  const found = reading ? readingVerdict(reading, language) : verdict(prediction, language);
  const text = error ? errorText(error, language) : found;
  if (byId("verdict").textContent !== text) byId("verdict").textContent = text; // screen readers read every write aloud
  byId("remarks").replaceChildren(
    ...((reading ?? prediction)?.quality ?? []).map((remark) => {
      const item = document.createElement("li");
      item.textContent = say(language, `quality_${remark}`);
      return item;
    }),
  );
}

function verdict(prediction, language) {
  if (!prediction) return say(language, "draw_first");
  if (prediction.refusal === "blank") return say(language, "blank");
  if (prediction.refusal === "several_glyphs") return say(language, "several_glyphs", prediction.digit);
  if (prediction.refused) return say(language, "no_digit", percent(prediction.novelty, language), prediction.digit);
  return say(language, "sure", prediction.digit, percent(prediction.probability, language));
}

function errorText(error, language) {
  const known = { 0: "unreachable", 401: "needs_key", 403: "forbidden", 429: "busy", 503: "not_ready" };
  return say(language, known[error.status] ?? "failed", error.message);
}

/** Shows an error of the service, or none; for a missing API key also the form to enter one. */
export function showError(error, language) {
  byId("error").textContent = error ? errorText(error, language) : "";
  byId("error").hidden = !error;
  if (error?.status === 401) byId("key-form").hidden = false;
}
