// The page: what is drawn is asked, what is answered is shown. The newest drawing counts; older answers are let go.

import { layOutBars, showAnswer, showError } from "./answer.js";
import { paintMap, palette } from "./grid.js";
import { Lab } from "./lab.js";
import { inkOf, mapOf, tensor, written } from "./numbers.js";
import { Pad } from "./pad.js";
import { ServiceError, classify, explain, useKey } from "./service.js";
import { Walk } from "./walk.js";
import { LANGUAGES, say } from "./words.js";

const PAUSE_MILLISECONDS = 50; // between questions while the pen moves: quicker than anybody sees, and room for others
const REST_MILLISECONDS = 120; // with the pen down and still: then the layers are worth asking for
const BUSY_MILLISECONDS = 1000; // until a busy service is asked again
const byId = (id) => document.getElementById(id);

let language = LANGUAGES.find((each) => navigator.language.startsWith(each)) ?? "en";
let prediction = null;
let explained = null;
let failure = null;

layOutBars();
const walk = new Walk();
const lab = new Lab();
const pad = new Pad(byId("paper"), (isResting) => changed(isResting));

let isAsking = false;
let isStale = false; // something was drawn since the last question
let resting = null;
let asking = null; // aborts the question whose drawing is gone
let explaining = null; // aborts the explanation that is no longer wanted
let penUp = 0; // when; 0: the pen is down
let hurry = () => {};

function changed(isResting) {
  byId("hint").hidden = !pad.isEmpty;
  explaining?.abort();
  clearTimeout(resting);
  penUp = isResting ? performance.now() : 0;
  delete byId("time").dataset.penUp;
  if (isResting) hurry();
  if (pad.isEmpty) {
    forget();
    return;
  }
  isStale = true;
  if (!isAsking) ask();
  resting = setTimeout(explainDrawing, isResting ? 0 : REST_MILLISECONDS);
}

/** Nothing is drawn any more: what was asked and told of it goes, too. */
function forget() {
  asking?.abort();
  isStale = false;
  prediction = explained = failure = null;
  for (const id of ["seen-box", "walk", "lab"]) byId(id).hidden = true;
  for (const id of ["time", "walk-error"]) byId(id).textContent = "";
  showAnswer(null, null, language);
  showError(null, language);
}

/** One question at a time, for what is on the paper when it is sent. */
async function ask() {
  isAsking = true;
  while (isStale) {
    isStale = false;
    const pause = new Promise((resolve) => {
      hurry = resolve; // the pen is up: that is what the visitor waits for
      setTimeout(resolve, PAUSE_MILLISECONDS);
    });
    const wanted = (asking = new AbortController());
    const [began, since] = [performance.now(), penUp];
    try {
      const told = await classify(await pad.file(), wanted.signal);
      if (wanted.signal.aborted) continue;
      prediction = told;
      failure = null;
      byId("time").textContent = say(language, "took", written(performance.now() - began, language, 0));
      if (since && since === penUp) byId("time").dataset.penUp = String(performance.now() - since);
    } catch (error) {
      if (error.name === "AbortError") continue;
      if (!(error instanceof ServiceError)) throw error;
      failure = error;
      prediction = null;
      if (error.status === 429) setTimeout(askAgain, BUSY_MILLISECONDS, since);
    }
    showAnswer(prediction, failure, language);
    showError(failure, language);
    await pause;
  }
  isAsking = false;
}

/** The service was busy: for a drawing that is still the same. */
function askAgain(since) {
  if (pad.isEmpty || since !== penUp) return;
  isStale = true;
  if (!isAsking) ask();
}

async function explainDrawing() {
  if (pad.isEmpty) return;
  const wanted = (explaining = new AbortController());
  try {
    const told = await explain(await pad.file(), wanted.signal);
    if (wanted.signal.aborted) return;
    explained = told;
    showExplained();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ServiceError)) throw error;
    // Busy, or a model without layers to show: the digit is told all the same, and no other drawing's layers.
    for (const id of ["seen-box", "walk", "lab"]) byId(id).hidden = true;
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

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = language;
  document.title = say(language, "title");
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(language, element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(language, element.dataset.label));
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
  showAnswer(prediction, failure, language);
  showError(failure, language);
  lab.speak(language);
  if (explained) showExplained();
}

byId("clear").addEventListener("click", () => pad.clear());
byId("undo").addEventListener("click", () => pad.undo());
byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) pad.show(file);
  event.target.value = ""; // or the same file could not be chosen again
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
