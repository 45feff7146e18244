// The service over HTTP: requests with the token, where one was given; and the stream of frames.

import { byId, say } from "./format.js";

const KEY = "weir-token";

export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `the service answered ${status}`);
    this.status = status;
    this.code = error?.code;
  }
}

const headers = () => {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
};

export async function get(path, options) {
  const answer = await fetch(path, { ...options, headers: { ...options?.headers, ...headers() } });
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body.error);
  return body;
}

// Ask; where the service wants its token, ask the person for it until it is right or they give up.
export async function getTrusted(path, options) {
  try {
    return await get(path, options);
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  while (await askedForToken()) {
    try {
      return await get(path, options);
    } catch (error) {
      if (error.status !== 401) throw error;
      say("token-error", "This is not the token of the service.");
    }
  }
  throw new Error("The service wants its token for this.");
}

// For what nobody waits for: null where the service has no such thing, or wants its token.
export async function offered(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

export const post = (path, body) => getTrusted(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });

// The answer, explained where this learner can be.
export const predict = (event, isExplained) => get(`/predict?${isExplained ? "explain=1&" : ""}keep=0`, { method: "POST", body: event });

function askedForToken() {
  const dialog = byId("token");
  byId("token-open").hidden = false;
  return new Promise((resolve) => {
    byId("token-value").value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "given"), { once: true });
    dialog.showModal();
  });
}

byId("token-form").addEventListener("submit", () => {
  sessionStorage.setItem(KEY, byId("token-value").value.trim());
  byId("token").returnValue = "given";
  document.dispatchEvent(new Event("token"));
});
byId("token-open").addEventListener("click", askedForToken);

// Frames, one a second. While the stream is away the browser opens it anew by itself.
// A tab that nobody sees has none: a browser keeps six connections to a service, for all its tabs together.
export function follow(heard, ended) {
  let source = null;
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    if (document.hidden || source) return;
    source = new EventSource("/watch/stream");
    source.onmessage = (message) => heard(JSON.parse(message.data));
    source.onerror = () => {
      ended(true);
      // A browser gives up for good after an answer that is none, as of a service that starts.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      setTimeout(open, 2000);
    };
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    close();
    ended(false);
  });
  open();
}
