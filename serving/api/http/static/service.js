// Calls the service over HTTP: classifies a picture, reads its lines, explains it, and gives feedback.

let key = "";

/** Sends this API key from now on. It is kept in memory, and gone when the page is closed. */
export function useKey(text) {
  key = text.trim();
}

/** Failure of a request: the HTTP `status` (0: no response came), and the service's message. */
export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Classifies a picture file or 784 bytes. Resolves to the prediction; rejects with ServiceError. */
export function classify(body, signal) {
  return post("v1/classify", body, signal);
}

/** Reads a picture file of several digits: {lines, quality, width, height}, boxes in pixels of the picture. */
export function read(body, signal) {
  return post("v1/read", body, signal);
}

/** Says what the picture of a request really shows: {digit}, {no_digit: true}, or of a line {index, text}. */
export function giveFeedback(id, truth) {
  return post("v1/feedback", JSON.stringify({ request_id: id, ...truth }));
}

const kernels = new Map(); // by version: the same for every picture

/** Explains a picture: {prediction, pixels, layers, importance}; each layer with its kernel and bias. */
export async function explain(body, signal) {
  const known = [...kernels.keys()].at(-1);
  let response = await post(`v1/explain?kernels=${known === undefined ? 1 : 0}`, body, signal);
  if (known !== undefined && !kernels.has(response.prediction.model_version)) {
    response = await post("v1/explain", body, signal); // another version is served now, whose kernels are not known
  }
  const version = response.prediction.model_version; // of the last response: the first may be another version's
  if (response.layers.some((layer) => layer.kernel)) {
    kernels.clear(); // those of a version that is no longer served
    kernels.set(version, new Map(response.layers.map(({ name, kernel, bias }) => [name, { kernel, bias }])));
  }
  const learned = kernels.get(version);
  return { ...response, layers: response.layers.map((layer) => ({ ...layer, ...learned.get(layer.name) })) };
}

async function post(path, body, signal) {
  const headers = { "Content-Type": "application/octet-stream", ...(key ? { "X-Api-Key": key } : {}) };
  try {
    const response = await fetch(path, { method: "POST", body, headers, signal });
    if (response.ok) return await response.json();
    // A proxy in between may send a page that is no JSON.
    const error = await response.json().catch(() => ({ message: response.statusText }));
    throw new ServiceError(response.status, error.message);
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ServiceError) throw error;
    throw new ServiceError(0, String(error.message));
  }
}
