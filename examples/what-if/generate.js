#!/usr/bin/env node
// Writes the trace of an invented working day, as JSON lines: `node generate.js 400 > working-day.jsonl`.
// The same number of jobs gives the same day. A real trace comes from `mayfly trace export`.

const jobs = Number(process.argv[2] ?? 400);
if (!Number.isSafeInteger(jobs) || jobs < 1) {
  process.stderr.write(
    "error: The number of jobs is no number.\nnext:  node generate.js 400 > working-day.jsonl\n",
  );
  process.exit(2);
}

const midnight = Date.UTC(2026, 0, 5);
const repositories = ["my-org/shop", "my-org/shop", "my-org/api", "my-org/docs"];
/** What a push starts: how many jobs, what they ask for, and how long half of them take, in seconds. */
const pushes = [
  { count: 6, labels: ["self-hosted", "linux", "x64"], seconds: 240 },
  { count: 3, labels: ["self-hosted", "linux", "x64"], seconds: 420 },
  { count: 1, labels: ["self-hosted", "linux", "x64"], seconds: 45 },
  { count: 2, labels: ["mayfly/linux-x64/cpu=8"], seconds: 900 },
  { count: 2, labels: ["self-hosted", "linux", "arm64"], seconds: 300 },
  { count: 1, labels: ["ubuntu-latest"], seconds: 30 },
];

let state = 1;
/** From 0 to 1; the same numbers in every run. */
function random() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Most of it around ten and three, a little in the evening, and the nightly builds at two. */
function hourOfPush() {
  const chance = random();
  if (chance < 0.1) return 2 + random() / 10;
  if (chance < 0.2) return 18 + 4 * random();
  return Math.min(Math.max((chance < 0.6 ? 10 : 15) + 1.3 * normal(), 6), 22);
}

const lines = [];
while (lines.length < jobs) {
  const push = pushes[Math.floor(random() * pushes.length)];
  const repository = repositories[Math.floor(random() * repositories.length)];
  const queuedAt = midnight + Math.floor(hourOfPush() * 3_600_000);
  for (let left = Math.min(push.count, jobs - lines.length); left > 0; left--) {
    const duration = Math.round(Math.min(push.seconds * Math.exp(0.5 * normal()), 6 * 3600));
    lines.push({ queued_at: new Date(queuedAt).toISOString(), duration, labels: push.labels, repository });
  }
}
lines.sort((one, other) => one.queued_at.localeCompare(other.queued_at));
for (const line of lines) process.stdout.write(`${JSON.stringify(line)}\n`);
