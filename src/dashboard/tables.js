/** The lists of the page: jobs, machines, presets, images. */
import { byId, create, setAttribute, setText, syncChildren } from "./elements.js";
import { count, duration, money, nothing, timeOfDay } from "./format.js";

/** Rows beyond it are counted, not shown, until somebody asks for them. */
const rowsAtFirst = 20;
const rowsMore = 100;
const rowsShown = new Map();

export function renderTables(status) {
  const active = status.activeJobs;
  const running = active.filter((job) => job.state === "running");
  const waiting = active.filter((job) => job.state !== "running");
  const unserved = status.recentJobs.filter(isUnserved);
  const finished = status.recentJobs.filter((job) => !isUnserved(job));

  renderBlocked(status.fleets.filter((fleet) => fleet.blocked !== null));
  renderTable("waiting", waiting, waitingRow, "id", status.jobs.waiting + status.jobs.queued);
  renderTable("running", running, runningRow, "id", status.jobs.running);
  renderTable("refused", unserved, unservedRow, "id");
  renderTable("finished", finished, finishedRow, "id");
  renderTable("machines", status.activeMachines, machineRow, "id", status.machines.alive);
  renderTable("presets", status.presets, presetRow, "name");
  const images = status.images.map((image) => ({ ...image, key: `${image.base} ${image.architecture}` }));
  renderTable("images", images, imageRow, "key");
  // Most have none: images are only built for presets that want that.
  byId("images").hidden = images.length === 0;
}

function isUnserved(job) {
  return job.outcome === "given-up" || job.outcome === "refused";
}

/** `row` is how a row is made and updated. `total` is how many there are, if the document carries fewer. */
function renderTable(id, items, row, keyName, total = items.length) {
  const section = byId(id);
  const limit = rowsShown.get(id) ?? rowsAtFirst;
  const shown = items.slice(0, limit);
  const hiddenRows = items.length - shown.length;
  const body = section.querySelector("tbody");
  syncChildren(body, shown, { key: (item) => item[keyName], make: row.make, update: row.update });

  section.querySelector("table").hidden = items.length === 0;
  section.querySelector(".empty").hidden = items.length > 0;
  setText(section.querySelector(".count"), total === 0 ? "" : total.toLocaleString());
  const more = section.querySelector(".more");
  more.hidden = Math.max(total, items.length) <= shown.length;
  more.disabled = hiddenRows === 0;
  setText(more, `and ${(Math.max(total, items.length) - shown.length).toLocaleString()} more`);
  more.onclick = () => {
    rowsShown.set(id, limit + rowsMore);
    renderTable(id, items, row, keyName, total);
  };
}

// ------------------------------------------------------------------------------------------------ rows

const waitingRow = {
  make: (job) => tableRow(jobCell(job), textCell("reason"), sinceCell(job.createdAt)),
  update(row, job) {
    updateJobCell(row.cells[0], job);
    setText(row.cells[1].firstChild, job.waitsFor ?? "The next look at its fleet.");
  },
};

const runningRow = {
  make: (job) =>
    tableRow(
      jobCell(job),
      textCell("roomy machine"),
      textCell("number roomy"),
      sinceCell(job.startedAt ?? job.createdAt),
    ),
  update(row, job) {
    updateJobCell(row.cells[0], job);
    setText(row.cells[1].firstChild, job.machine ?? "not one of ours");
    setText(row.cells[2].firstChild, duration(job.waitSeconds));
    setSince(row.cells[3], job.startedAt ?? job.createdAt);
  },
};

const unservedRow = {
  make: (job) => tableRow(jobCell(job), chipAndTextCell(), textCell("number")),
  update(row, job) {
    updateJobCell(row.cells[0], job);
    const [chip, text] = row.cells[1].children;
    setChip(chip, job.outcome === "refused" ? "refused" : "given up", "bad");
    setText(text, job.detail ?? "");
    setText(row.cells[2].firstChild, job.completedAt === null ? nothing : timeOfDay(job.completedAt));
  },
};

const finishedRow = {
  make: (job) =>
    tableRow(
      jobCell(job),
      chipCell(),
      textCell("number roomy"),
      textCell("number"),
      textCell("number roomy"),
    ),
  update(row, job) {
    updateJobCell(row.cells[0], job);
    const outcome = job.outcome ?? "done";
    setChip(row.cells[1].firstChild, outcome.replaceAll("_", " "), outcomeTones[outcome] ?? "plain");
    setText(row.cells[2].firstChild, duration(job.waitSeconds));
    setText(row.cells[3].firstChild, duration(job.runSeconds));
    setText(row.cells[4].firstChild, money(job.costUsd));
  },
};

const machineRow = {
  make: (machine) => tableRow(twoLineCell("code"), chipCell(), sinceCell(machine.requestedAt)),
  update(row, machine) {
    const [name, more] = row.cells[0].children;
    setText(name, machine.id);
    const where = [machine.preset, machine.purchase, machine.pool].filter((part) => part !== null);
    setText(more, where.join(" · "));
    setAttribute(row.cells[0], "title", machine.detail ?? undefined);
    setChip(row.cells[1].firstChild, machine.state, machineTones[machine.state] ?? "plain");
  },
};

const presetRow = {
  make: () => tableRow(twoLineCell("bdi"), chipCell(), textCell("number")),
  update(row, preset) {
    const [name, more] = row.cells[0].children;
    setText(name, preset.name);
    setText(more, [preset.compute, ...preset.labels].join(" · "));
    setChip(row.cells[1].firstChild, preset.status, preset.status === "ready" ? "good" : "bad");
    setText(row.cells[2].firstChild, `${preset.machines.toLocaleString()} of ${preset.max.toLocaleString()}`);
  },
};

const imageRow = {
  make: () => tableRow(twoLineCell("bdi"), chipCell(), textCell("number")),
  update(row, image) {
    const [name, more] = row.cells[0].children;
    setText(name, `${image.base} · ${image.architecture}`);
    setText(more, imageNotes(image).join(" · "));
    setAttribute(row.cells[0], "title", image.log ?? image.reference ?? undefined);
    setChip(row.cells[1].firstChild, image.trial ? "on trial" : image.state, imageTones[image.state]);
    setText(row.cells[2].firstChild, duration(image.ageSeconds));
  },
};

/** What keeps it from serving, who waits for it, what it is tried against, and what its scan found worst. */
function imageNotes({ reason, waitingJobs, trial, scan }) {
  const notes = reason === null ? [] : [reason];
  if (waitingJobs > 0) notes.push(`${count(waitingJobs, "job")} wait for it`);
  if (trial) notes.push(`of the newest’s machines ${trial.worked} worked and ${trial.failed} did not`);
  for (const severity of ["critical", "high"]) {
    const found = scan?.findings[severity] ?? 0;
    if (found > 0) notes.push(`${found.toLocaleString()} ${severity} in its scan`);
  }
  return notes;
}

const imageTones = { ready: "good", building: "soft", failed: "bad" };

const outcomeTones = { success: "good", failure: "bad", timed_out: "bad", startup_failure: "bad" };

export const machineTones = { requested: "soft", launched: "soft", registered: "soft", busy: "good" };

// ----------------------------------------------------------------------------------------------- cells

/** Small screens lay some rows out as blocks, and a browser takes a block for no row unless it is told. */
export function declareRoles() {
  const roles = { table: "table", "thead, tbody": "rowgroup", "thead tr": "row", "thead th": "columnheader" };
  for (const [selector, role] of Object.entries(roles)) {
    for (const element of document.querySelectorAll(selector)) element.setAttribute("role", role);
  }
}

function tableRow(...cells) {
  for (const cell of cells) cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
  return create("tr", { role: "row" }, ...cells);
}

function textCell(classes) {
  return create("td", { class: classes }, create("bdi"));
}

function chipCell() {
  return create("td", {}, create("span", { class: "chip" }));
}

function chipAndTextCell() {
  return create("td", { class: "reason" }, create("span", { class: "chip" }), create("bdi"));
}

function twoLineCell(tag) {
  return create("th", { scope: "row" }, create(tag, { class: "first" }), create("bdi", { class: "second" }));
}

function jobCell(job) {
  const link = create("a", { class: "first", href: `#job-${job.id}` }, create("bdi"));
  return create("th", { scope: "row" }, link, create("bdi", { class: "second" }));
}

function updateJobCell(cell, job) {
  const [link, more] = cell.children;
  setText(link.firstChild, job.name === "" ? `job ${job.id}` : job.name);
  setText(more, `${job.repository} · ${job.workflow}`);
  setAttribute(cell, "title", `${job.name}\n${job.repository}\n${job.workflow}`);
}

function sinceCell(instant) {
  const cell = textCell("number");
  setSince(cell, instant);
  return cell;
}

/** The text itself is written by the clock of the page, see `tick` in dashboard.js. */
function setSince(cell, instant) {
  setAttribute(cell.firstChild, "data-since", String(Date.parse(instant)));
}

export function setChip(chip, text, tone) {
  setText(chip, text);
  setAttribute(chip, "data-tone", tone);
}

function renderBlocked(fleets) {
  const list = byId("blocked");
  list.hidden = fleets.length === 0;
  syncChildren(list, fleets, {
    key: (fleet) => fleet.fleet,
    make: () => create("li", {}, create("strong"), " ", create("bdi"), create("small")),
    update(item, { preset, queued, blocked }) {
      const [name, detail, times] = item.children;
      setText(name, preset);
      setText(detail, blocked.detail);
      const next =
        blocked.nextAttemptAt === null ? "" : `, tried again at ${timeOfDay(blocked.nextAttemptAt)}`;
      setText(times, `${count(queued, "job")} held up since ${timeOfDay(blocked.since)}${next}`);
    },
  });
}
