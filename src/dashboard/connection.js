/**
 * The live connection. EventSource cannot send an Authorization header, so the event stream is read with fetch.
 */

const tokenKey = "mayfly-status-token";
/** The server sends at least a heartbeat every 15 seconds; after three missed ones the connection is dead. */
const silenceLimitMilliseconds = 45_000;
const longestPauseMilliseconds = 15_000;

export function rememberToken(token) {
  sessionStorage.setItem(tokenKey, token);
}

export function forgetToken() {
  sessionStorage.removeItem(tokenKey);
}

export function hasToken() {
  return sessionStorage.getItem(tokenKey) !== null;
}

/** A GET with the token, if there is one. `token` overrides what is remembered. */
export function get(path, { token = sessionStorage.getItem(tokenKey), signal } = {}) {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return fetch(path, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" });
}

/** Whether this answer means that a token is missing or wrong (401), or that none would help (403). */
export function isRefused(response) {
  return response.status === 401 || response.status === 403;
}

/** What the server says to a refusal that no token would change; undefined when it only wants the right token. */
export async function refusalSentence(response) {
  if (response.status !== 403) return undefined;
  const { error, next } = await response.json();
  return [error, next].filter(Boolean).join(" ");
}

/**
 * Follows the status until the server refuses the token or `signal` aborts. `onState` hears `live` and `reconnecting`, each with the
 * time since when it is so; between the two attempts to connect the pauses grow, and end early when the browser is
 * back online or the page is looked at again.
 */
export async function followStatus({ onStatus, onState, onRefused, signal }) {
  let failures = 0;
  let since = Date.now();
  const report = (state) => onState({ state, since });
  for (;;) {
    const result = await readEvents(signal, (status) => {
      if (failures >= 0) {
        failures = -1;
        since = Date.now();
        report("live");
      }
      onStatus(status);
    });
    if (signal.aborted) return;
    if (result.refused) return onRefused(result.sentence);
    if (failures < 0) since = Date.now();
    failures = Math.max(0, failures) + 1;
    report("reconnecting");
    await pause(Math.min(longestPauseMilliseconds, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
    if (signal.aborted) return;
  }
}

const lost = { refused: false };

/** Reads one event stream to its end. `lost` whatever the reason, because the answer to all is to try again. */
async function readEvents(outerSignal, onStatus) {
  const controller = new AbortController();
  const signal = AbortSignal.any([outerSignal, controller.signal]);
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => controller.abort(), silenceLimitMilliseconds);
  };
  try {
    heard();
    const response = await get("/api/events", { signal });
    if (isRefused(response)) return { refused: true, sentence: await refusalSentence(response) };
    if (!response.ok || response.body === null) return lost;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return lost;
      heard();
      text += value;
      const end = text.lastIndexOf("\n\n");
      if (end === -1) continue;
      // Only the newest document matters, so those that it overtook are not even parsed.
      const newest = text
        .slice(0, end)
        .split("\n\n")
        .findLast((event) => event.startsWith("event: status\n"));
      text = text.slice(end + 2);
      if (newest !== undefined) onStatus(JSON.parse(dataOf(newest)));
    }
  } catch (error) {
    if (outerSignal.aborted) return lost;
    // biome-ignore lint/suspicious/noConsole: the console of the browser is the log of the page.
    console.info("The connection to Mayfly was lost:", error.message);
    return lost;
  } finally {
    clearTimeout(silence);
    controller.abort();
  }
}

function dataOf(event) {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(line.startsWith("data: ") ? 6 : 5)).join("\n");
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && done();
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    document.addEventListener("visibilitychange", seen);
  });
}
