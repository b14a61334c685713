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

// Kernels and biases of a version, by the name of their layer. The two networks of a cascade share no name.
let learned = { version: null, layers: new Map() };

/** Explains a picture: {prediction, pixels, layers, importance}; each layer with its kernel and bias. */
export async function explain(body, signal) {
  let response = await post(`v1/explain?kernels=${learned.layers.size ? 0 : 1}`, body, signal);
  if (!hasKernels(response)) response = await post("v1/explain", body, signal); // of another version or network
  const version = response.prediction.model_version; // of the last response: the first may be another version's
  if (version !== learned.version) learned = { version, layers: new Map() };
  for (const { name, kernel, bias } of response.layers) if (kernel) learned.layers.set(name, { kernel, bias });
  return { ...response, layers: response.layers.map((layer) => ({ ...layer, ...learned.layers.get(layer.name) })) };
}

/** Returns true if the kernel of each convolution has come or is known. */
function hasKernels({ prediction, layers }) {
  const isKnown = ({ name }) => prediction.model_version === learned.version && learned.layers.has(name);
  return layers.every((layer) => layer.kind !== "convolution" || layer.kernel || isKnown(layer));
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
