// The page: sends what is drawn to the service and shows the response.
//
// 1. One classification at a time. Meanwhile a change only marks the drawing as stale; then it is sent again.
// 2. What may hold several digits, a picture or pieces side by side, is read as lines too, before anything is shown.
// 3. The layers are requested once the pen rests. A change aborts that request. Several digits have no layers here.
// 4. Responses to a drawing that is gone are dropped.

import { layOutBars, showAnswer, showError } from "./answer.js";
import { layOutFeedback, showFeedback } from "./feedback.js";
import { paintMap, palette } from "./grid.js";
import { Lab } from "./lab.js";
import { hasSeveral } from "./lines.js";
import { inkOf, mapOf, tensor, written } from "./numbers.js";
import { Pad } from "./pad.js";
import { ServiceError, classify, explain, read, useKey } from "./service.js";
import { Walk } from "./walk.js";
import { LANGUAGES, say } from "./words.js";

const PAUSE_MILLISECONDS = 50; // between requests while the pen moves: faster than the eye, with room for others
const REST_MILLISECONDS = 120; // with the pen down and still: then the layers are requested
const BUSY_MILLISECONDS = 1000; // before a busy service is tried again
const byId = (id) => document.getElementById(id);

let language = LANGUAGES.find((each) => navigator.language.startsWith(each)) ?? "en";
let prediction = null;
let reading = null; // of several digits; null: one digit or none
let explained = null;
let failure = null;

layOutBars();
layOutFeedback(() => language, (error) => showError(error, language));
const walk = new Walk();
const lab = new Lab();
const pad = new Pad(byId("paper"), (isResting) => changed(isResting));

let isClassifying = false;
let isStale = false; // something was drawn since the last request
let resting = null; // timer until the layers are requested
let classified = Promise.resolve(); // until the last classification is shown
let classifying = null; // aborts the classification of a drawing that is gone
let explaining = null; // aborts an explanation that is no longer wanted
let isUnexplained = false; // no layers were requested, as there were several digits
let penUp = 0; // performance.now() when the pen was lifted; 0: it is down
let endPause = () => {}; // ends the pause between two requests

/** Reacts to a change of the drawing. `isResting`: the pen is up. */
function changed(isResting) {
  byId("hint").hidden = !pad.isEmpty;
  explaining?.abort();
  isUnexplained = false;
  clearTimeout(resting);
  penUp = isResting ? performance.now() : 0;
  delete byId("time").dataset.penUp;
  if (isResting) endPause();
  if (pad.isEmpty) {
    forget();
    return;
  }
  isStale = true;
  if (!isClassifying) classified = classifyDrawing();
  resting = setTimeout(explainDrawing, isResting ? 0 : REST_MILLISECONDS);
}

/** Clears what is shown and requested: the sheet is empty. */
function forget() {
  classifying?.abort();
  isStale = false;
  prediction = reading = explained = failure = null;
  hideLayers();
  for (const id of ["time", "walk-error"]) byId(id).textContent = "";
  showAnswer(null, null, null, language);
  showFeedback(null, language);
  showError(null, language);
}

function hideLayers() {
  for (const id of ["seen-box", "walk", "lab"]) byId(id).hidden = true;
}

/** Classifies the drawing as it is at each request, until it no longer changes. */
async function classifyDrawing() {
  isClassifying = true;
  while (isStale) {
    isStale = false;
    const pause = new Promise((resolve) => {
      endPause = resolve; // once the pen is up, the visitor waits for this response
      setTimeout(resolve, PAUSE_MILLISECONDS);
    });
    const wanted = (classifying = new AbortController());
    const [began, since] = [performance.now(), penUp];
    const isPicture = pad.isPicture;
    try {
      const file = await pad.file();
      const response = await classify(file, wanted.signal);
      const maySeveral = isPicture || response.quality.includes("several_glyphs");
      const lines = maySeveral ? await read(file, wanted.signal) : null;
      if (wanted.signal.aborted) continue; // also when it was aborted while pad.file() ran
      prediction = response;
      reading = lines && hasSeveral(lines) ? lines : null;
      failure = null;
      if (reading) {
        explaining?.abort();
        explained = null;
        hideLayers();
      } else if (isUnexplained) {
        explainDrawing();
      }
      byId("time").textContent = say(language, "took", written(performance.now() - began, language, 0));
      if (since && since === penUp) byId("time").dataset.penUp = String(performance.now() - since);
    } catch (error) {
      if (error.name === "AbortError") continue;
      if (!(error instanceof ServiceError)) throw error;
      failure = error;
      prediction = reading = null;
      if (error.status === 429) setTimeout(retry, BUSY_MILLISECONDS, since);
    }
    showAnswer(prediction, reading, failure, language);
    showFeedback(reading ?? prediction, language);
    showError(failure, language);
    await pause;
  }
  isClassifying = false;
}

/** Classifies again after the service was busy, unless the drawing has changed since. */
function retry(since) {
  if (pad.isEmpty || since !== penUp) return;
  isStale = true;
  if (!isClassifying) classified = classifyDrawing();
}

/** Requests the layers of the drawing and shows them. */
async function explainDrawing() {
  if (pad.isEmpty) return;
  const wanted = (explaining = new AbortController());
  if (pad.isPicture) await classified; // it may show that there are several digits
  if (wanted.signal.aborted) return;
  isUnexplained = Boolean(reading);
  if (isUnexplained) return;
  try {
    const response = await explain(await pad.file(), wanted.signal);
    if (wanted.signal.aborted) return;
    explained = response;
    showExplained();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ServiceError)) throw error;
    // Busy, or a model whose layers cannot be shown. The digit stays; layers of an older drawing go.
    hideLayers();
    if (error.status === 429) resting = setTimeout(explainDrawing, BUSY_MILLISECONDS);
    else byId("walk-error").textContent = error.message;
  }
}

function showExplained() {
  const ink = mapOf(inkOf(explained.pixels), 0);
  paintMap(byId("seen"), ink, palette());
  const importance = tensor(explained.importance);
  paintMap(byId("importance"), { height: 28, width: 28, values: importance.values }, palette());
  byId("seen-box").hidden = false;
  byId("walk-error").textContent = "";
  walk.show(explained, language);
  lab.show(ink);
}

/** Writes the whole page in the language `chosen`. */
function speak(chosen) {
  language = chosen;
  document.documentElement.lang = language;
  document.title = say(language, "title");
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = say(language, element.dataset.word);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(language, element.dataset.label));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
  showAnswer(prediction, reading, failure, language);
  showFeedback(reading ?? prediction, language);
  showError(failure, language);
  lab.speak(language);
  if (explained) showExplained();
}

byId("clear").addEventListener("click", () => pad.clear());
byId("undo").addEventListener("click", () => pad.undo());
byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) pad.show(file);
  event.target.value = ""; // otherwise choosing the same file again would be no change
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) pad.show(file);
});
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    const [file] = kind === "drop" ? event.dataTransfer.files : [];
    if (file) pad.show(file);
  });
}
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  changed(true);
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => explained && showExplained());
speak(language);
