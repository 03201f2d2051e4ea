import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";

/*
 * Adds up what `.ci/run` noted in a folder: `steps` (status, seconds, name) and `suites` (status, seconds, name, the
 * file that vitest's reporter `json` wrote), one a line. Prints what was slow, what was skipped, what failed and why, and
 * then the sum. The exit status is 1 when anything failed.
 */

const [folder = "."] = process.argv.slice(2);
const print = (line) => process.stdout.write(`${line}\n`);
const slowFilesShown = 10;
/** Enough for what was expected and what came instead: the end of a long output is often all that is kept of it. */
const reasonLines = 25;
const reasonCharacters = 3_000;

const sum = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const skipped = [];
const durations = [];

for (const [status, seconds, name] of readTable("steps")) {
  durations.push({ name, seconds: Number(seconds) });
  if (status === "0") sum.passed += 1;
  else fail(name);
}
const slow = [];
for (const [status, seconds, name, file] of readTable("suites")) {
  durations.push({ name, seconds: Number(seconds) });
  addSuite(status, name, file);
}

for (const { name, seconds } of durations) print(`${String(seconds).padStart(6)} s  ${name}`);
print("\nThe slowest test files:");
slow.sort((left, right) => right.seconds - left.seconds);
for (const { name, seconds } of slow.slice(0, slowFilesShown)) {
  print(`${seconds.toFixed(1).padStart(6)} s  ${name}`);
}
for (const name of skipped) print(`skipped: ${name}`);
for (const { name, reason } of failures) {
  print(`failed: ${name}`);
  if (reason !== "") print(reason);
}
print("");
print(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ""}`);
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;

function addSuite(status, name, file) {
  const before = sum.failed;
  if (existsSync(file)) {
    for (const tests of JSON.parse(readFileSync(file, "utf8")).testResults) addFile(tests);
  }
  // A suite can fail without a failed test: a file that cannot be loaded, an error outside of all tests.
  if (status !== "0" && sum.failed === before) fail(`${name} ended with status ${status}`);
}

function addFile({ name, status, startTime, endTime, assertionResults }) {
  const path = relative(process.cwd(), name);
  slow.push({ name: path, seconds: (endTime - startTime) / 1000 });
  for (const test of assertionResults) {
    if (test.status === "passed") sum.passed += 1;
    else if (test.status === "failed") fail(`${path}: ${test.fullName}`, reasonOf(test));
    else {
      sum.skipped += 1;
      skipped.push(`${path}: ${test.fullName}`);
    }
  }
  if (status === "failed" && assertionResults.every((test) => test.status !== "failed")) fail(path);
}

function fail(name, reason = "") {
  sum.failed += 1;
  failures.push({ name, reason });
}

function reasonOf({ failureMessages }) {
  const lines = failureMessages.join("\n").trimEnd().split("\n").slice(0, reasonLines);
  return lines
    .map((line) => `    ${line}`)
    .join("\n")
    .slice(0, reasonCharacters);
}

function readTable(name) {
  const path = `${folder}/${name}`;
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}
