/** What happened to one job, step by step. The address `#job-<id>` opens it, so that it can be sent to others. */
import { get, isRefused, refusalSentence } from "./connection.js";
import { byId, create, externalLink, setAttribute, setLink, setText, syncChildren } from "./elements.js";
import { duration, money, timeOfDay } from "./format.js";
import { machineTones, setChip } from "./tables.js";

let shown;
let loading = false;

/** `onRefused` is called when the server no longer takes the token. */
export function openPanelFromAddress(onRefused) {
  const dialog = byId("why");
  const follow = () => {
    const id = /^#job-(\d+)$/.exec(location.hash)?.[1];
    if (id === undefined) return dialog.open && dialog.close();
    if (id !== shown) clear(id);
    shown = id;
    if (!dialog.open) dialog.showModal();
    load(onRefused);
  };
  addEventListener("hashchange", follow);
  dialog.addEventListener("close", () => {
    shown = undefined;
    // Not `location.hash = ""`: that would scroll to the top and add a step to the history.
    history.replaceState(null, "", location.pathname + location.search);
  });
  // A click beside the panel closes it: the dialog itself is its only target outside its content.
  dialog.addEventListener(
    "click",
    (event) => event.target === dialog && isOutside(dialog, event) && dialog.close(),
  );
  byId("why-close").addEventListener("click", () => dialog.close());
  follow();
}

/** Called with every new status: the panel shows what has become of the job since. */
export function refreshPanel(onRefused) {
  if (shown !== undefined) load(onRefused);
}

async function load(onRefused) {
  if (loading) return;
  loading = true;
  const id = shown;
  try {
    const response = await get(`/api/jobs/${id}`);
    if (isRefused(response)) return onRefused(await refusalSentence(response));
    const answer = await response.json();
    if (id !== shown) return;
    if (response.ok) render(answer);
    else setText(byId("why-summary"), [answer.error, answer.next].filter(Boolean).join(" "));
  } catch (error) {
    // biome-ignore lint/suspicious/noConsole: the console of the browser is the log of the page.
    console.info("The job could not be read:", error.message);
    if (id === shown) setText(byId("why-summary"), "Mayfly cannot be reached; this is what was known last.");
  } finally {
    loading = false;
    // Another job was chosen while this one was being read.
    if (shown !== undefined && shown !== id) load(onRefused);
  }
}

function clear(id) {
  setText(byId("why-title"), `Job ${id}`);
  for (const part of ["where", "labels", "next", "steps", "machines", "links"])
    byId(`why-${part}`).replaceChildren();
  setText(byId("why-summary"), "Reading what happened…");
  byId("why-machines-title").hidden = true;
}

function render({ job, summary, steps, next, machines }) {
  setText(byId("why-title"), job.name === "" ? `Job ${job.id}` : job.name);
  setText(byId("why-where"), `${job.repository} · ${job.workflow} · ${job.fleet}`);
  setText(byId("why-summary"), summary);
  setText(byId("why-next"), next === null ? "" : nextText(next));
  syncChildren(byId("why-labels"), [...new Set(job.labels)], {
    key: (label) => label,
    make: () => create("bdi", { class: "chip", "data-tone": "plain" }),
    update: setText,
  });
  syncChildren(
    byId("why-steps"),
    steps.map((step, index) => ({ ...step, index })),
    {
      key: (step) => step.index,
      make: () => create("li", {}, create("time"), create("bdi"), create("small")),
      update(item, step) {
        const [time, what, after] = item.children;
        setAttribute(time, "datetime", step.at);
        setText(time, timeOfDay(step.at));
        setText(what, step.what);
        setText(after, step.index === 0 ? "" : `after ${duration(step.afterSeconds)}`);
      },
    },
  );
  renderMachines(machines);
  renderLinks(job);
}

function nextText(next) {
  return next.at === null ? `Next: ${next.what}` : `Next, at ${timeOfDay(next.at)}: ${next.what}`;
}

function renderMachines(machines) {
  byId("why-machines-title").hidden = machines.length === 0;
  syncChildren(byId("why-machines"), machines, {
    key: (machine) => machine.id,
    make: () => create("li", {}, create("code"), create("span", { class: "chip" }), create("small")),
    update(item, machine) {
      const [name, chip, more] = item.children;
      setText(name, machine.id);
      setChip(chip, machine.state, machineTones[machine.state] ?? "plain");
      const cost = machine.costUsd === 0 ? null : money(machine.costUsd);
      const parts = [machine.pool, machine.reason, machine.detail, cost].filter((part) => part !== null);
      setText(more, parts.join(" · "));
    },
  });
}

function renderLinks(job) {
  const links = [{ name: "The job at GitHub", address: job.url }];
  if (URL.canParse(job.url)) {
    const path = job.repository.split("/").map(encodeURIComponent).join("/");
    links.push({ name: "Its repository", address: `${new URL(job.url).origin}/${path}` });
  }
  syncChildren(byId("why-links"), links, {
    key: (link) => link.name,
    make: (link) => externalLink(link.name),
    update: (element, link) => setLink(element, link.address),
  });
}

function isOutside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return (
    event.clientX < box.left ||
    event.clientX > box.right ||
    event.clientY < box.top ||
    event.clientY > box.bottom
  );
}
