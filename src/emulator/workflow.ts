import { LineCounter, parseDocument } from "yaml";
import { evaluateWhole, substitute } from "./expressions.ts";
import { type Combination, combinationText, expandMatrix } from "./matrix.ts";
import type { Condition, PlannedJob, PlannedStep, PlannedWorkflow } from "./planned-job.ts";
import { errorAt, type KeyPath, type SourceFile, WorkflowError } from "./workflow-error.ts";

/** Replaces the `runs-on` labels of a job, for instance `ubuntu-latest` by a label that has runners. */
export type RunsOn = (labels: readonly string[]) => readonly string[];

export interface WorkflowOptions {
  /** Named in errors, and the workflow's name when it has none. */
  readonly path: string;
  readonly runsOn?: RunsOn;
}

const jobsPerMatrix = 256;
const nameLimit = 100;

/**
 * Reads a workflow file and plans its jobs: one for each combination of a matrix, with final names and labels.
 * `${{ matrix.… }}` is substituted; other expressions stay as they are. Conditions other than `false`,
 * `always()` and `failure()` count as met. Throws a `WorkflowError` that names the line and the key.
 */
export function planWorkflow(text: string, options: WorkflowOptions): PlannedWorkflow {
  const file = parse(text, options.path);
  const root = plainValue(file, text);
  const workflow = mapping(file, [], root, "A workflow file has to be a mapping with the key `jobs`.");
  const jobs = mapping(file, ["jobs"], workflow.jobs, "A workflow needs jobs.");
  const keys = Object.keys(jobs);
  if (keys.length === 0) throw errorAt(file, ["jobs"], "A workflow needs at least one job.");
  const shared = defaultsOf(file, [], workflow);
  const planned = Object.entries(jobs).flatMap(([key, value]) =>
    planJob(file, key, mapping(file, ["jobs", key], value, "A job has to be a mapping."), shared, options),
  );
  checkNeeds(file, jobs, planned);
  const name = typeof workflow.name === "string" ? workflow.name : options.path;
  return { name, path: options.path, jobs: planned };
}

type Fields = Readonly<Record<string, unknown>>;

interface Defaults {
  readonly environmentVariables: Readonly<Record<string, string>>;
  readonly shell?: string;
  readonly workingDirectory?: string;
}

function parse(text: string, path: string): SourceFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [problem] = document.errors;
  if (problem === undefined) return { path, document, lines };
  const { line } = lines.linePos(problem.pos[0]);
  throw new WorkflowError(path, line, "", problem.message.split("\n")[0] ?? "This is not YAML.");
}

/** The document as plain values. Aliases can still be wrong in a document that is YAML. */
function plainValue(file: SourceFile, text: string): unknown {
  try {
    return file.document.toJS();
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    const alias = /: (\S+)$/.exec(sentence)?.[1];
    const position = alias === undefined ? -1 : text.indexOf(`*${alias}`);
    throw new WorkflowError(file.path, file.lines.linePos(Math.max(position, 0)).line, "", sentence);
  }
}

function planJob(
  file: SourceFile,
  key: string,
  job: Fields,
  shared: Defaults,
  options: WorkflowOptions,
): readonly PlannedJob[] {
  const at: KeyPath = ["jobs", key];
  if (!/^[A-Za-z_][\w-]*$/.test(key)) {
    throw errorAt(file, at, "A job's key starts with a letter or _ and has only letters, digits, - and _.");
  }
  const strategy = optionalMapping(file, [...at, "strategy"], job.strategy);
  const combinations = combinationsOf(file, [...at, "strategy", "matrix"], strategy.matrix);
  const defaults = mergeDefaults(shared, defaultsOf(file, at, job));
  const steps = planSteps(file, at, job);
  const outputs = textMapping(file, [...at, "outputs"], job.outputs);
  const maxParallel = positiveNumber(strategy["max-parallel"]);
  return combinations.map((matrix) => {
    const contexts = { matrix };
    const environment = environmentName(job.environment);
    const timeoutMinutes = positiveNumber(evaluateIfText(job["timeout-minutes"], contexts));
    return {
      key,
      name: jobName(key, job.name, matrix),
      needs: textList(file, [...at, "needs"], job.needs ?? []),
      ...runnerOf(file, at, job, matrix, options.runsOn),
      matrix,
      failFast: strategy["fail-fast"] !== false && combinations.length > 1,
      continueOnError: evaluateIfText(job["continue-on-error"], contexts) === true,
      condition: conditionOf(job.if),
      environmentVariables: defaults.environmentVariables,
      steps,
      outputs,
      ...(maxParallel === undefined ? {} : { maxParallel }),
      ...(environment === undefined ? {} : { environment: substitute(environment, contexts) }),
      ...(typeof job.uses === "string" ? { reusableWorkflow: job.uses } : {}),
      ...(timeoutMinutes === undefined ? {} : { timeoutMinutes }),
      ...(defaults.shell === undefined ? {} : { defaultShell: defaults.shell }),
      ...(defaults.workingDirectory === undefined
        ? {}
        : { defaultWorkingDirectory: defaults.workingDirectory }),
    };
  });
}

/** `runs-on` as a label, a list of labels, or a mapping with `group` and `labels`. */
function runnerOf(
  file: SourceFile,
  job: KeyPath,
  fields: Fields,
  matrix: Combination,
  runsOn: RunsOn | undefined,
): { readonly labels: readonly string[]; readonly runnerGroup?: string } {
  const at = [...job, "runs-on"];
  if (typeof fields.uses === "string") return { labels: [] };
  const value = evaluateIfText(fields["runs-on"], { matrix });
  if (value === undefined || value === null) throw errorAt(file, at, "The job does not say where it runs.");
  const isGroup = typeof value === "object" && !Array.isArray(value);
  const place = isGroup ? mapping(file, at, value, "") : { labels: value };
  const written = textList(file, isGroup ? [...at, "labels"] : at, place.labels ?? []);
  const labels = written.map((label) => substitute(label, { matrix }).trim());
  if (labels.some((label) => label === "")) throw errorAt(file, at, "A label is empty.");
  if (place.group === undefined && labels.length === 0) throw errorAt(file, at, "The job has no labels.");
  return {
    labels: runsOn === undefined ? labels : runsOn(labels),
    ...(place.group === undefined ? {} : { runnerGroup: substitute(String(place.group), { matrix }) }),
  };
}

function combinationsOf(file: SourceFile, at: KeyPath, matrix: unknown): readonly Combination[] {
  if (matrix === undefined || matrix === null || typeof matrix === "string") return [{}];
  const fields = mapping(file, at, matrix, "A matrix has to be a mapping or an expression.");
  for (const [axis, values] of Object.entries(fields)) {
    const isExpression = typeof values === "string" && values.includes("${{");
    if (Array.isArray(values) || isExpression) continue;
    throw errorAt(file, [...at, axis], "An axis of a matrix has to be a list or an expression.");
  }
  const combinations = expandMatrix(fields);
  if (combinations.length === 0) throw errorAt(file, at, "The matrix has no combinations.");
  if (combinations.length <= jobsPerMatrix) return combinations;
  throw errorAt(
    file,
    at,
    `The matrix has ${combinations.length} combinations; ${jobsPerMatrix} are allowed.`,
  );
}

function jobName(key: string, name: unknown, matrix: Combination): string {
  const written = typeof name === "string" ? name : key;
  const values = combinationText(matrix);
  const full =
    written.includes("${{") || values === "" ? substitute(written, { matrix }) : `${written} (${values})`;
  return full.length > nameLimit ? `${full.slice(0, nameLimit - 3)}...` : full;
}

function planSteps(file: SourceFile, job: KeyPath, fields: Fields): readonly PlannedStep[] {
  const at = [...job, "steps"];
  if (typeof fields.uses === "string") return [];
  if (!Array.isArray(fields.steps) || fields.steps.length === 0) {
    throw errorAt(file, at, "The job needs a list of steps.");
  }
  return fields.steps.map((value: unknown, index) => {
    const step = mapping(file, [...at, index], value, "A step has to be a mapping.");
    return planStep(file, [...at, index], step);
  });
}

function planStep(file: SourceFile, at: KeyPath, step: Fields): PlannedStep {
  const { run, uses } = step;
  if ((typeof run === "string") === (typeof uses === "string")) {
    throw errorAt(file, at, "A step needs either `run` or `uses`.");
  }
  const action = typeof run === "string" ? (run.trim().split("\n")[0] ?? "") : String(uses);
  const timeoutMinutes = positiveNumber(step["timeout-minutes"]);
  return {
    name: typeof step.name === "string" ? step.name : `Run ${action}`,
    condition: conditionOf(step.if),
    environmentVariables: textMapping(file, [...at, "env"], step.env),
    continueOnError: step["continue-on-error"] === true,
    ...(typeof step.id === "string" ? { id: step.id } : {}),
    ...(typeof run === "string" ? { run } : {}),
    ...(typeof uses === "string" ? { uses } : {}),
    ...(typeof step.shell === "string" ? { shell: step.shell } : {}),
    ...(typeof step["working-directory"] === "string" ? { workingDirectory: step["working-directory"] } : {}),
    ...(timeoutMinutes === undefined ? {} : { timeoutMinutes }),
  };
}

/** Every needed job exists, and no job needs itself through others. */
function checkNeeds(file: SourceFile, jobs: Fields, planned: readonly PlannedJob[]): void {
  const needs = new Map(planned.map((job) => [job.key, job.needs]));
  const settled = new Set<string>();
  const visit = (key: string, path: readonly string[]): void => {
    if (settled.has(key)) return;
    for (const needed of needs.get(key) ?? []) {
      const at = ["jobs", key, "needs"];
      if (!Object.hasOwn(jobs, needed)) throw errorAt(file, at, `There is no job \`${needed}\`.`);
      if (needed === key || path.includes(needed)) {
        throw errorAt(file, at, `The job waits for itself: ${[...path, key, needed].join(" → ")}.`);
      }
      visit(needed, [...path, key]);
    }
    settled.add(key);
  };
  for (const key of needs.keys()) visit(key, []);
}

function conditionOf(value: unknown): Condition {
  if (value === undefined || value === null) return "success";
  const text = String(value)
    .replace(/^\$\{\{(.*)\}\}$/s, "$1")
    .trim();
  if (text === "false") return "never";
  if (/\balways\(\)|!\s*cancelled\(\)/.test(text)) return "always";
  return /\bfailure\(\)/.test(text) && !text.includes("!failure()") ? "failure" : "success";
}

function defaultsOf(file: SourceFile, at: KeyPath, fields: Fields): Defaults {
  const run = optionalMapping(
    file,
    [...at, "defaults", "run"],
    optionalMapping(file, [...at, "defaults"], fields.defaults).run,
  );
  return {
    environmentVariables: textMapping(file, [...at, "env"], fields.env),
    ...(typeof run.shell === "string" ? { shell: run.shell } : {}),
    ...(typeof run["working-directory"] === "string" ? { workingDirectory: run["working-directory"] } : {}),
  };
}

function mergeDefaults(outer: Defaults, inner: Defaults): Defaults {
  const environmentVariables = { ...outer.environmentVariables, ...inner.environmentVariables };
  return { ...outer, ...inner, environmentVariables };
}

function environmentName(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || !("name" in value)) return undefined;
  return typeof value.name === "string" ? value.name : undefined;
}

function evaluateIfText(value: unknown, contexts: { readonly matrix: Combination }): unknown {
  return typeof value === "string" ? evaluateWhole(value, contexts) : value;
}

function positiveNumber(value: unknown): number | undefined {
  return typeof value === "number" && value > 0 ? value : undefined;
}

function mapping(file: SourceFile, at: KeyPath, value: unknown, sentence: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw errorAt(file, at, sentence);
}

function optionalMapping(file: SourceFile, at: KeyPath, value: unknown): Fields {
  if (value === undefined || value === null) return {};
  return mapping(file, at, value, "This has to be a mapping.");
}

function textMapping(file: SourceFile, at: KeyPath, value: unknown): Readonly<Record<string, string>> {
  if (typeof value === "string") return {};
  const entries = Object.entries(optionalMapping(file, at, value));
  return Object.fromEntries(entries.map(([name, text]) => [name, text === null ? "" : String(text)]));
}

function textList(file: SourceFile, at: KeyPath, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item === "string" || typeof item === "number") return String(item);
    throw errorAt(file, at, "This has to be a name or a list of names.");
  });
}
