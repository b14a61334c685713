// Asks the service: what stands in a picture, and how the network sees it.

let key = "";

/** The API key to show from now on; kept by this page alone, and not stored. */
export function useKey(text) {
  key = text.trim();
}

/** What went wrong: `status` of HTTP (0: nothing came), and what the service said. */
export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The prediction for a picture file or 784 bytes. */
export function classify(body, signal) {
  return ask("v1/classify", body, signal);
}

const kernels = new Map(); // by version: the same for every picture

/** How the network sees it: {prediction, pixels, layers, importance}; each layer with its kernel and bias. */
export async function explain(body, signal) {
  const known = [...kernels.keys()].at(-1);
  let told = await ask(`v1/explain?kernels=${known === undefined ? 1 : 0}`, body, signal);
  if (known !== undefined && !kernels.has(told.prediction.model_version)) {
    told = await ask("v1/explain", body, signal);
  }
  const version = told.prediction.model_version; // of this answer: the other may have come from another version
  if (told.layers.some((layer) => layer.kernel)) {
    kernels.clear(); // of a version that is served no more
    kernels.set(version, new Map(told.layers.map((layer) => [layer.name, { kernel: layer.kernel, bias: layer.bias }])));
  }
  const learned = kernels.get(version);
  return { ...told, layers: told.layers.map((layer) => ({ ...layer, ...learned.get(layer.name) })) };
}

async function ask(path, body, signal) {
  const headers = { "Content-Type": "application/octet-stream", ...(key ? { "X-Api-Key": key } : {}) };
  try {
    const response = await fetch(path, { method: "POST", body, headers, signal });
    if (response.ok) return await response.json();
    const told = await response.json().catch(() => ({ message: response.statusText })); // a proxy's page, say
    throw new ServiceError(response.status, told.message);
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ServiceError) throw error;
    throw new ServiceError(0, String(error.message));
  }
}
