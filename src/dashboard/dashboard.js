/**
 * The status page. It shows what `/api/events` sends and asks for nothing else, but for the steps of one job.
 */
import { drawArea, drawBars, setMost } from "./chart.js";
import {
  followStatus,
  forgetToken,
  get,
  hasToken,
  isRefused,
  refusalSentence,
  rememberToken,
} from "./connection.js";
import { byId, create, setAttribute, setText, syncChildren } from "./elements.js";
import { count, duration, minuteOfDay, money, timeOfDay } from "./format.js";
import { declareRoles, renderTables } from "./tables.js";
import { openPanelFromAddress, refreshPanel } from "./why-panel.js";

let latest;
let live = false;
/** The server's clock minus ours, so that ages are right on a machine whose clock is wrong. */
let clockOffsetMilliseconds = 0;
let frameAsked = false;
let isPanelReady = false;
/** Aborts the event stream that is being followed: one that began with an older token may still be open. */
let following = new AbortController();

byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  tryToken(byId("token-value").value.trim());
});
declareRoles();
setInterval(tick, 1000);
start();

function start() {
  following.abort();
  following = new AbortController();
  followStatus({ onStatus, onState: showConnection, onRefused: askForToken, signal: following.signal });
}

// ----------------------------------------------------------------------------------------------- token

/** `sentence` is what the server said, where no token would help. */
function askForToken(sentence) {
  following.abort();
  const wasAccepted = hasToken();
  forgetToken();
  byId("status").hidden = true;
  if (byId("why").open) byId("why").close();
  showConnection({ state: "locked" });
  if (!byId("token").hidden) return;
  byId("token").hidden = false;
  setText(byId("token-error"), sentence ?? (wasAccepted ? "The token is no longer accepted." : ""));
  byId("token-value").focus();
}

async function tryToken(token) {
  const problem = await tokenProblem(token);
  setText(byId("token-error"), problem ?? "");
  setAttribute(byId("token-value"), "aria-invalid", problem === undefined ? undefined : "true");
  if (problem !== undefined) {
    byId("token-value").select();
    return;
  }
  rememberToken(token);
  byId("token-value").value = "";
  byId("token").hidden = true;
  byId("content").focus();
  start();
}

/** Why this token will not do, as a sentence; undefined when it does. */
async function tokenProblem(token) {
  // A header takes no other characters, and no token of Mayfly has any.
  if (!/^[\x21-\x7e]+$/.test(token)) return "A token has no spaces and only plain characters.";
  try {
    const response = await get("/api/status", { token });
    const sentence = await refusalSentence(response);
    if (sentence !== undefined) return sentence;
    if (isRefused(response)) return "This token was not accepted. Check that all of it was copied.";
    return response.ok ? undefined : `Mayfly answered ${response.status}. Try again in a moment.`;
  } catch (error) {
    // biome-ignore lint/suspicious/noConsole: the console of the browser is the log of the page.
    console.info("The token could not be checked:", error.message);
    return "Mayfly cannot be reached. Try again in a moment.";
  }
}

// -------------------------------------------------------------------------------------------- rendering

function onStatus(status) {
  latest = status;
  clockOffsetMilliseconds = Date.parse(status.at) - Date.now();
  setText(document.querySelector("title"), titleOf(status));
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    frameAsked = false;
    if (!following.signal.aborted) render(latest);
  });
}

function titleOf({ jobs, problems }) {
  const waiting = jobs.queued + jobs.waiting;
  return `${problems.length > 0 ? "! " : ""}${jobs.running} running, ${waiting} waiting · Mayfly`;
}

function render(status) {
  byId("status").hidden = false;
  byId("token").hidden = true;
  setText(byId("version"), status.version);
  renderProblems(status.problems);
  renderSummary(status);
  renderWaits(status.waits);
  renderCost(status.cost);
  renderLastHour(status.lastHour);
  renderTables(status);
  renderBudgets(status.github);
  setText(byId("updated"), `Last change seen at ${timeOfDay(status.at)}.`);
  tick();
  if (isPanelReady) refreshPanel(askForToken);
  else openPanelFromAddress(askForToken);
  isPanelReady = true;
}

function renderProblems(problems) {
  byId("problems").hidden = problems.length === 0;
  syncChildren(byId("problems-list"), [...new Set(problems)], {
    key: (problem) => problem,
    make: () => create("li", { dir: "auto" }),
    update: setText,
  });
}

function renderSummary({ jobs, machines }) {
  setText(byId("sum-running"), jobs.running.toLocaleString());
  const ended = [`${jobs.completedLastHour.toLocaleString()} done in the last hour`];
  if (jobs.failedLastHour > 0) ended.push(`${jobs.failedLastHour.toLocaleString()} failed`);
  setText(byId("sum-running-note"), ended.join(", "));

  setText(byId("sum-queued"), (jobs.queued + jobs.waiting).toLocaleString());
  const unserved = [];
  if (jobs.waiting > 0) unserved.push(`${jobs.waiting.toLocaleString()} held back by GitHub`);
  if (jobs.givenUpLastHour > 0) unserved.push(`${jobs.givenUpLastHour.toLocaleString()} given up`);
  if (jobs.refusedLastHour > 0) unserved.push(`${jobs.refusedLastHour.toLocaleString()} refused`);
  setText(byId("sum-queued-note"), unserved.join(", "));

  setText(byId("sum-machines"), machines.alive.toLocaleString());
  const states = ["busy", "registered", "launched", "requested", "retiring"];
  const alive = states.filter((state) => machines[state] > 0).map((state) => `${machines[state]} ${state}`);
  if (machines.launchFailuresLastHour > 0)
    alive.push(count(machines.launchFailuresLastHour, "failed launch", "failed launches"));
  setText(byId("sum-machines-note"), alive.join(", "));
}

function renderWaits(waits) {
  setText(byId("wait-p50"), duration(waits.p50Seconds));
  setText(byId("wait-p95"), duration(waits.p95Seconds));
  setText(byId("wait-p99"), duration(waits.p99Seconds));
  const github = `of it GitHub’s part: p50 ${duration(waits.githubP50Seconds)}, p95 ${duration(waits.githubP95Seconds)}`;
  setText(
    byId("wait-note"),
    waits.jobs === 0 ? "No job has started." : `${count(waits.jobs, "job")}; ${github}`,
  );
}

function renderCost(cost) {
  setText(byId("cost-today"), money(cost.todayUsd));
  const notes = [`GitHub-hosted ${money(cost.githubHostedTodayUsd)}`];
  if (cost.ec2SpotTodayUsd > 0) notes.push(`EC2 spot ${money(cost.ec2SpotTodayUsd)}`);
  if (cost.dailyBudgetUsd !== null) notes.push(`budget ${money(cost.dailyBudgetUsd)}`);
  setText(byId("cost-note"), notes.join(" · "));
}

function renderLastHour(minutes) {
  const started = minutes.map((minute) => ({ at: minute.at, value: minute.started }));
  const machines = minutes.map((minute) => ({ at: minute.at, value: minute.machines }));
  const total = started.reduce((sum, point) => sum + point.value, 0);
  const most = Math.max(0, ...machines.map((point) => point.value));
  drawBars(byId("chart-started"), started, `${count(total, "job")} started in the last hour.`);
  drawArea(byId("chart-machines"), machines, `At most ${count(most, "machine")} alive in the last hour.`);
  setMost(byId("chart-started-most"), started);
  setMost(byId("chart-machines-most"), machines);
  setText(byId("chart-from"), minutes.length === 0 ? "" : minuteOfDay(minutes[0].at));
}

function renderBudgets(budgets) {
  syncChildren(byId("budgets"), budgets, {
    key: (budget) => budget.installationId,
    make: () => create("li"),
    update(item, { installationId, remaining, limit, resetAt }) {
      const left = `${remaining.toLocaleString()} of ${limit.toLocaleString()}`;
      setText(
        item,
        `GitHub requests left for installation ${installationId}: ${left} until ${minuteOfDay(resetAt)}.`,
      );
    },
  });
}

// ------------------------------------------------------------------------------------------- connection

function showConnection({ state, since }) {
  live = state === "live";
  const texts = {
    live: () => `Live since ${timeOfDay(since)}`,
    reconnecting: () => `Not connected since ${timeOfDay(since)}, trying again`,
    locked: () => "Waiting for a token",
  };
  setAttribute(byId("connection"), "data-state", state);
  setAttribute(byId("status"), "data-stale", live ? undefined : "true");
  setText(byId("connection-text"), texts[state]());
}

/** Ages grow only while the page is live: what it does not hear of may have ended long ago. */
function tick() {
  if (!live) return;
  const now = Date.now() + clockOffsetMilliseconds;
  for (const element of document.querySelectorAll("[data-since]")) {
    setText(element, duration(Math.floor((now - Number(element.dataset.since)) / 1000)));
  }
}
