import { createHash } from "node:crypto";
import { machineType, typesThatFit } from "./machine-types.ts";
import {
  type Architecture,
  type FleetId,
  type FleetOptions,
  type FleetRecord,
  type FleetSpec,
  fullName,
  type ImageKind,
  type Market,
  type OperatingSystem,
  type Policy,
  type Preset,
  type RefusalReason,
  type Repository,
} from "./model.ts";
import { nearest } from "./nearest.ts";

/**
 * Labels → preset and options. Understood are plain labels, `mayfly/<preset>[/<option>=<value>…]`,
 * `spotrunner/<preset>/<options>`, `class:<name>`, `image:<reference>`, the name of a machine type, and the config's
 * label mappings.
 *
 * `ignored`: the job is not for self-hosted runners, or not for ours. `refused`: it asks for us and can never be
 * served; the reason is shown.
 */
export type Route =
  | {
      readonly kind: "routed";
      readonly preset: Preset;
      readonly record: FleetRecord;
      readonly considered: readonly Considered[];
    }
  | {
      readonly kind: "refused";
      readonly because: RefusalReason;
      readonly detail: string;
      readonly considered: readonly Considered[];
    }
  | { readonly kind: "ignored"; readonly detail: string; readonly considered: readonly Considered[] };

/** Why a preset was taken, or was not. For `config explain`. */
export interface Considered {
  readonly preset: string;
  readonly matches: boolean;
  /** What was missing; absent when it matches. */
  readonly lacks?: "name" | "system" | "label";
  readonly because: string;
}

/** Presets are tried in the order of the config; the first that offers all that the job asks for is taken. */
export function routeJob(labels: readonly string[], policy: Policy): Route {
  const known = routesOf(policy);
  const key = JSON.stringify(labels);
  const before = known.get(key);
  if (before !== undefined) return before;
  const route = findRoute(labels, policy);
  known.set(key, route);
  return route;
}

/** Most jobs have the same labels as a job before, and a policy does not change: what was found is kept. */
const routes = new WeakMap<Policy, Map<string, Route>>();
/** Labels are written by strangers, who may write others each time. */
const routesKept = 1_000;

function routesOf(policy: Policy): Map<string, Route> {
  const known = routes.get(policy);
  if (known !== undefined && known.size < routesKept) return known;
  const fresh = new Map<string, Route>();
  routes.set(policy, fresh);
  return fresh;
}

function findRoute(labels: readonly string[], policy: Policy): Route {
  if (labels.length === 0) {
    return refused(
      "no-labels",
      "The job has no labels: runs-on names only a group, which GitHub does not tell us. Add a label.",
      [],
    );
  }
  const wish = readLabels(labels, policy);
  const considered = policy.presets.map((preset) => consider(preset, wish, policy));
  const index = considered.findIndex((entry) => entry.matches);
  const preset = policy.presets[index];

  if (wish.problem !== undefined) return refused(wish.problem.because, wish.problem.detail, considered);
  if (preset !== undefined) return routed(preset, wish.options, policy, considered);
  if (!wish.addressed) {
    return {
      kind: "ignored",
      detail: "No preset offers these labels, and self-hosted is not one of them.",
      considered,
    };
  }
  return unmatched(wish, policy, considered);
}

/** Where jobs that are refused are kept, so that `why` can say so. It never has machines. */
export const refusedFleet: FleetRecord = {
  id: "refused",
  options: {},
  spec: {
    preset: "refused",
    compute: "none",
    operatingSystem: "linux",
    architecture: "x86_64",
    market: "on-demand-only",
    instanceTypes: [],
    runnerGroup: "default",
    jobTimeoutSeconds: 0,
    bootTimeoutSeconds: 0,
    idleTimeoutSeconds: 0,
  },
  refusals: [],
};

/** Whether jobs of this repository are served at all. */
export function admit(
  repository: Repository,
  policy: Policy,
): { readonly because: RefusalReason; readonly detail: string } | undefined {
  const name = fullName(repository);
  const { repositories, publicRepositories } = policy.admission;
  if (repositories.length > 0 && !repositories.some((pattern) => matchesPattern(name, pattern))) {
    return {
      because: "repository-not-admitted",
      detail: `${name} matches no entry of admission.repositories. Add it there to serve its jobs.`,
    };
  }
  if (!repository.private && publicRepositories === "refuse") {
    return {
      because: "public-repository",
      detail: `${name} is public: anyone could run code here. Set admission.publicRepositories to allow if that is meant.`,
    };
  }
  return undefined;
}

/** Why nobody may ask for this image, as a sentence; undefined where it is allowed. */
export function imageRefusal(
  reference: string,
  { presets, imagesAllowed, imagesDenied }: Pick<Policy, "presets" | "imagesAllowed" | "imagesDenied">,
): string | undefined {
  const matches = (pattern: string): boolean => matchesPattern(reference, pattern);
  if (!/^[\w][\w.:/@-]{0,255}$/.test(reference))
    return `${reference || "Nothing"} is not an image reference.`;
  if (presets.some(({ image }) => image === reference)) return undefined;
  if (!imagesAllowed.some(matches)) return `The image ${reference} matches no entry of images.allow.`;
  return imagesDenied.some(matches) ? `The image ${reference} matches an entry of images.deny.` : undefined;
}

/** A preset with a job's options applied. What names no machine type gets the smallest that fit, where any are known. */
export function resolveSpec(
  preset: Preset,
  options: FleetOptions,
  policy: Pick<Policy, "machineTypes">,
): FleetSpec {
  const diskGib = options.diskGib ?? preset.diskGib;
  const image = options.image ?? preset.image;
  return {
    preset: preset.name,
    compute: preset.compute,
    operatingSystem: preset.operatingSystem,
    architecture: preset.architecture,
    market: options.market ?? preset.market,
    ...machineOf(preset, options, policy),
    ...(diskGib !== undefined && { diskGib }),
    ...(image !== undefined && { image }),
    runnerGroup: preset.runnerGroup,
    jobTimeoutSeconds: preset.jobTimeoutSeconds,
    bootTimeoutSeconds: preset.bootTimeoutSeconds,
    idleTimeoutSeconds: preset.idleTimeoutSeconds,
  };
}

function machineOf(
  preset: Preset,
  options: FleetOptions,
  policy: Pick<Policy, "machineTypes">,
): Pick<FleetSpec, "instanceTypes" | "typesAlike" | "cpu" | "memoryGib"> {
  const sized = options.cpu !== undefined || options.memoryGib !== undefined;
  const wished = { cpu: options.cpu ?? preset.cpu, memoryGib: options.memoryGib ?? preset.memoryGib };
  // A job that asks for a size gets the types that fit it, not the preset's own list.
  const named = options.instanceTypes ?? (sized ? [] : preset.instanceTypes);
  const types = policy.machineTypes[preset.compute] ?? [];
  const chosen =
    named.length > 0 ? [] : typesThatFit(types, { architecture: preset.architecture, ...wished });
  const first = named[0] === undefined ? undefined : machineType(policy, named[0], preset.compute);
  // Types that were named say themselves how large they are, unless the preset does.
  const cpu = wished.cpu ?? first?.cpu;
  const memoryGib = wished.memoryGib ?? first?.memoryGib;
  return {
    instanceTypes: named.length > 0 ? named : chosen,
    ...(chosen.length > 0 && { typesAlike: true }),
    ...(cpu !== undefined && { cpu }),
    ...(memoryGib !== undefined && { memoryGib }),
  };
}

/** The same for the same preset and options, whatever the order in which the options were given. */
export function fleetIdOf(preset: string, options: FleetOptions): FleetId {
  const entries = Object.entries(options)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? [...value].sort().join("+") : value}`)
    .sort();
  if (entries.length === 0) return preset;
  const text = entries.join(",");
  const short = text.length <= 120 ? text : createHash("sha256").update(text).digest("hex").slice(0, 32);
  return `${preset}/${short}`;
}

/** `*` stands for any characters. Compared without case, as GitHub compares names. */
export function matchesPattern(text: string, pattern: string): boolean {
  const letters = text.toLowerCase();
  const rule = pattern.toLowerCase();
  let at = 0;
  let ruleAt = 0;
  // Where the last star is, and what it stands for ends: a mismatch makes that star longer, never an earlier one.
  let star = -1;
  let starEnd = 0;
  while (at < letters.length) {
    if (rule[ruleAt] === "*") {
      star = ruleAt++;
      starEnd = at;
    } else if (rule[ruleAt] === letters[at]) {
      ruleAt++;
      at++;
    } else if (star >= 0) {
      ruleAt = star + 1;
      at = ++starEnd;
    } else return false;
  }
  return /^\**$/.test(rule.slice(ruleAt));
}

// ---------------------------------------------------------------------------------------- reading labels

interface Wish {
  /** Whether the labels show that the job is meant for self-hosted runners or for us. */
  readonly addressed: boolean;
  readonly preset: string | undefined;
  readonly plain: readonly string[];
  readonly operatingSystem: OperatingSystem | undefined;
  readonly options: FleetOptions;
  /** Machine types that are labels by themselves. */
  readonly types: readonly string[];
  readonly problem: { readonly because: RefusalReason; readonly detail: string } | undefined;
}

const systemLabels: ReadonlyMap<string, OperatingSystem> = new Map([
  ["linux", "linux"],
  ["windows", "windows"],
  ["macos", "macos"],
]);
const architectureNames: ReadonlyMap<string, Architecture> = new Map([
  ["x64", "x86_64"],
  ["x86_64", "x86_64"],
  ["amd64", "x86_64"],
  ["arm64", "arm64"],
  ["aarch64", "arm64"],
]);
const marketNames: ReadonlyMap<string, Market> = new Map([
  ["spot-only", "spot-only"],
  ["spotonly", "spot-only"],
  ["spot-preferred", "spot-preferred"],
  ["spotpreferred", "spot-preferred"],
  ["on-demand-only", "on-demand-only"],
  ["ondemandonly", "on-demand-only"],
]);
const optionNames = ["cpu", "ram", "arch", "disk", "market", "type", "image"];

function readLabels(labels: readonly string[], policy: Policy): Wish {
  const reader = new LabelReader(policy);
  for (const label of labels) reader.read(label);
  return reader.wish();
}

/** Collects what the labels of one job ask for; the first contradiction or unknown word is kept as the problem. */
class LabelReader {
  readonly #policy: Policy;
  #addressed = false;
  #preset: string | undefined;
  #system: OperatingSystem | undefined;
  #problem: Wish["problem"];
  readonly #plain: string[] = [];
  readonly #types: string[] = [];
  readonly #options: Record<string, unknown> = {};

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  read(label: string): void {
    const lower = label.toLowerCase();
    const system = systemLabels.get(lower);
    const architecture = architectureNames.get(lower);
    if (lower === "self-hosted") {
      this.#addressed = true;
    } else if (lower.startsWith("mayfly/") || lower.startsWith("spotrunner/")) {
      this.#readPresetLabel(label);
    } else if (lower.startsWith("class:")) {
      this.#readClass(label.slice("class:".length));
    } else if (lower.startsWith("image:")) {
      this.#addressed = true;
      this.#readImage(label.slice("image:".length));
    } else if (system !== undefined) {
      this.#system = this.#once("operating system", this.#system, system);
    } else if (architecture !== undefined) {
      this.#set("architecture", architecture, label);
    } else if (!this.#readMapping(lower) && !this.#readType(lower)) {
      this.#plain.push(lower);
    }
  }

  wish(): Wish {
    return {
      addressed: this.#addressed,
      preset: this.#preset,
      plain: this.#plain,
      operatingSystem: this.#system,
      options: this.#options as FleetOptions,
      types: this.#types,
      problem: this.#problem,
    };
  }

  #readPresetLabel(label: string): void {
    this.#addressed = true;
    const [, name = "", ...options] = label.split("/");
    this.#preset = this.#once("preset", this.#preset, name.toLowerCase());
    // An image reference contains slashes: everything after `image=` belongs to it.
    const text = options.join("/");
    const imageAt = text.search(/(^|[,/])image=/i);
    const head = imageAt === -1 ? text : text.slice(0, imageAt);
    for (const option of head.split(/[,/]/)) {
      if (option !== "") this.#readOption(option, label);
    }
    if (imageAt !== -1) this.#readImage(text.slice(text.indexOf("=", imageAt) + 1));
  }

  #readOption(option: string, label: string): void {
    const at = option.indexOf("=");
    const name = option.slice(0, at === -1 ? undefined : at).toLowerCase();
    const value = at === -1 ? "" : option.slice(at + 1);
    if (!optionNames.includes(name)) {
      const hint = nearest(name, optionNames);
      this.#fail("unknown-option", `The option ${name} in the label ${label} is not known.${hint}`);
    } else if (name === "cpu") {
      this.#setNumber("cpu", value, 1024, label);
    } else if (name === "ram") {
      this.#setNumber("memoryGib", value, 32_768, label);
    } else if (name === "disk") {
      this.#setNumber("diskGib", value, 65_536, label);
    } else if (name === "arch") {
      this.#setNamed("architecture", value, architectureNames, label);
    } else if (name === "market") {
      this.#setNamed("market", value, marketNames, label);
    } else if (name === "image") {
      this.#readImage(value);
    } else {
      const types = value.split("+").filter((type) => /^[a-z0-9][a-z0-9.-]{1,63}$/i.test(type));
      if (types.length === 0) this.#fail("unknown-option", `The label ${label} names no instance type.`);
      else this.#setTypes(types, label);
    }
  }

  #setNumber(key: keyof FleetOptions, value: string, limit: number, label: string): void {
    const number = Number(value);
    if (!/^\d+(\.\d+)?$/.test(value) || number <= 0 || number > limit) {
      this.#fail(
        "unknown-option",
        `${value || "Nothing"} in the label ${label} is not a number up to ${limit}.`,
      );
    } else {
      this.#set(key, number, label);
    }
  }

  #setNamed(key: keyof FleetOptions, value: string, names: ReadonlyMap<string, string>, label: string): void {
    const known = names.get(value.toLowerCase());
    if (known === undefined) {
      const hint = nearest(value, [...names.keys()]);
      this.#fail("unknown-option", `${value || "Nothing"} in the label ${label} is not known.${hint}`);
    } else {
      this.#set(key, known, label);
    }
  }

  #readClass(name: string): void {
    this.#addressed = true;
    const size = Object.entries(this.#policy.classes).find(
      ([key]) => key.toLowerCase() === name.toLowerCase(),
    );
    if (size === undefined) {
      const known = Object.keys(this.#policy.classes).join(", ") || "none";
      this.#fail("unknown-option", `The class ${name} is not known. Known classes: ${known}.`);
      return;
    }
    this.#set("cpu", size[1].cpu, `class:${name}`);
    this.#set("memoryGib", size[1].memoryGib, `class:${name}`);
  }

  #readImage(reference: string): void {
    const refusal = imageRefusal(reference, this.#policy);
    if (refusal !== undefined) this.#fail("image-not-allowed", refusal);
    else this.#set("image", reference, `image:${reference}`);
  }

  #readMapping(lower: string): boolean {
    const mapping = this.#policy.labelMappings.find((entry) => entry.label.toLowerCase() === lower);
    if (mapping === undefined) return false;
    if (mapping.instanceTypes.length > 0) this.#set("instanceTypes", mapping.instanceTypes, lower);
    if (mapping.image !== undefined) this.#set("image", mapping.image, lower);
    if (mapping.market !== undefined) this.#set("market", mapping.market, lower);
    if (mapping.preset !== undefined) {
      this.#preset = this.#once("preset", this.#preset, mapping.preset.toLowerCase());
    }
    return true;
  }

  /** A machine type as a label, unless a preset offers a label of that name. */
  #readType(lower: string): boolean {
    const type = machineType(this.#policy, lower);
    const isLabel = this.#policy.presets.some(({ labels }) =>
      labels.some((label) => label.toLowerCase() === lower),
    );
    if (type === undefined || isLabel) return false;
    this.#types.push(type.name);
    this.#setTypes([type.name], lower);
    this.#set("architecture", type.architecture, lower);
    return true;
  }

  #setTypes(types: readonly string[], label: string): void {
    const allowed = this.#policy.typesAllowed;
    const refused = types.find((type) => !allowed.some((pattern) => matchesPattern(type, pattern)));
    if (refused === undefined) this.#set("instanceTypes", types, label);
    else
      this.#fail("type-not-allowed", `The machine type ${refused} matches no entry of instanceTypes.allow.`);
  }

  #set(key: keyof FleetOptions, value: unknown, label: string): void {
    const before = this.#options[key];
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(value)) {
      this.#fail("unknown-option", `The label ${label} contradicts another label of the job.`);
    } else {
      this.#options[key] = value;
    }
  }

  #once<T>(what: string, before: T | undefined, value: T): T {
    if (before !== undefined && before !== value) {
      this.#fail("unknown-option", `The labels ask for more than one ${what}.`);
    }
    return before ?? value;
  }

  #fail(because: RefusalReason, detail: string): void {
    this.#problem ??= { because, detail };
  }
}

// ------------------------------------------------------------------------------------- matching presets

function consider(preset: Preset, wish: Wish, policy: Policy): Considered {
  const no = (lacks: "name" | "system" | "label", because: string): Considered => ({
    preset: preset.name,
    matches: false,
    lacks,
    because,
  });
  if (wish.preset !== undefined && wish.preset !== preset.name.toLowerCase()) {
    return no("name", `the labels name the preset ${wish.preset}`);
  }
  if (wish.operatingSystem !== undefined && wish.operatingSystem !== preset.operatingSystem) {
    return no("system", `the job asks for ${wish.operatingSystem}, the preset is ${preset.operatingSystem}`);
  }
  const architecture = wish.options.architecture;
  if (architecture !== undefined && architecture !== preset.architecture) {
    return no("system", `the job asks for ${architecture}, the preset is ${preset.architecture}`);
  }
  for (const name of wish.options.instanceTypes ?? []) {
    const type = machineType(policy, name, preset.compute);
    if (type !== undefined && type.architecture !== preset.architecture) {
      return no("system", `${name} is ${type.architecture}, the preset is ${preset.architecture}`);
    }
    if (type === undefined && wish.types.includes(name)) {
      return no("label", `its compute ${preset.compute} has no machine type ${name}`);
    }
  }
  const { image } = wish.options;
  if (image !== undefined && preset.imageKind !== undefined && preset.imageKind !== imageKindOf(image)) {
    return no("label", `its images are of ${preset.imageKind}s, and ${image} is not`);
  }
  const offered = new Set(preset.labels.map((label) => label.toLowerCase()));
  const missing = wish.plain.filter((label) => !offered.has(label));
  if (missing.length > 0) return no("label", `it does not offer the label ${shortened(missing.join(", "))}`);
  return { preset: preset.name, matches: true, because: "it offers every label of the job" };
}

/** Labels are written by strangers, and the sentence is said of each preset: together they have to fit into an entry. */
const lettersShown = 300;

function shortened(text: string): string {
  return text.length <= lettersShown ? text : `${text.slice(0, lettersShown)}…`;
}

function routed(
  preset: Preset,
  wished: FleetOptions,
  policy: Policy,
  considered: readonly Considered[],
): Route {
  const options = beyondPreset(preset, wished);
  const spec = resolveSpec(preset, options, policy);
  if (policy.machineTypes[preset.compute] !== undefined && spec.instanceTypes.length === 0) {
    const size = [spec.cpu && `${spec.cpu} processors`, spec.memoryGib && `${spec.memoryGib} GiB of memory`];
    const detail = `No ${spec.architecture} machine type of ${preset.compute} has ${size.filter(Boolean).join(" and ")}.`;
    return refused("no-machine-type", detail, considered);
  }
  const record = { id: fleetIdOf(preset.name, options), options, spec, refusals: [] };
  return { kind: "routed", preset, record, considered };
}

/** By how it is written: images of machines are named in the ways of the config, everything else is a container's. */
export function imageKindOf(reference: string): ImageKind {
  return /^(ami-[0-9a-f]{8,17}$|ssm:|pipeline:|name:)/.test(reference) ? "machine" : "container";
}

/** What is asked for and is not so anyway: a wish for what the preset is must not make a fleet of its own. */
function beyondPreset(preset: Preset, wished: FleetOptions): FleetOptions {
  const { architecture: _, instanceTypes, ...wishes } = wished;
  const own: FleetOptions = preset;
  const options: FleetOptions = Object.fromEntries(
    Object.entries(wishes).filter(([key, value]) => own[key as keyof typeof wishes] !== value),
  );
  const sized = options.cpu !== undefined || options.memoryGib !== undefined;
  if (instanceTypes === undefined || (!sized && sameTypes(instanceTypes, preset.instanceTypes)))
    return options;
  return { ...options, instanceTypes };
}

function sameTypes(left: readonly string[], right: readonly string[]): boolean {
  return [...left].sort().join() === [...right].sort().join();
}

function unmatched(wish: Wish, policy: Policy, considered: readonly Considered[]): Route {
  const names = policy.presets.map((preset) => preset.name);
  if (wish.preset !== undefined && !names.some((name) => name.toLowerCase() === wish.preset)) {
    return refused(
      "no-preset",
      `There is no preset ${wish.preset}.${nearest(wish.preset, names)}`,
      considered,
    );
  }
  const named = considered.filter((entry) => entry.lacks !== "name");
  const wrongSystem = named.length > 0 && named.every((entry) => entry.lacks === "system");
  if (wrongSystem) {
    const asked = [wish.operatingSystem, wish.options.architecture, ...(wish.options.instanceTypes ?? [])];
    return refused("wrong-system", `No preset offers ${asked.filter(Boolean).join(" ")}.`, considered);
  }
  const reasons = considered.map((entry) => `${entry.preset}: ${entry.because}`).join("; ");
  return refused(
    "no-preset",
    `No preset matches the labels. ${reasons || "No preset is configured"}.`,
    considered,
  );
}

function refused(because: RefusalReason, detail: string, considered: readonly Considered[]): Route {
  return { kind: "refused", because, detail, considered };
}
