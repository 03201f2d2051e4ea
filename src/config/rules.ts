import { isLoopbackHost } from "../core/loopback.ts";
import { typesThatFit } from "../core/machine-types.ts";
import { nearest } from "../core/nearest.ts";
import { imageKindOf } from "../core/route.ts";
import { taskSizeSentence } from "./classes.ts";
import { mappedTypes, splitListen } from "./config.ts";
import { ec2MachineTypes } from "./ec2-machine-types.ts";
import type { Finding } from "./explain.ts";
import { nearestFargateSize } from "./fargate-sizes.ts";
import type { ConfigDocument } from "./schema.ts";

export interface Verdict {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** What no single setting shows: settings that contradict each other, and those that have no effect. */
export function checkRules(document: ConfigDocument): Verdict {
  const verdicts = [
    checkServer(document),
    checkSecrets(document),
    checkPresets(document),
    checkMappings(document),
    checkClasses(document),
    { problems: [], warnings: dockerWarnings(document) },
    checkTiming(document),
  ];
  return {
    problems: verdicts.flatMap((verdict) => verdict.problems),
    warnings: verdicts.flatMap((verdict) => verdict.warnings),
  };
}

function checkServer({ server, secrets, presets }: ConfigDocument): Verdict {
  const problems: Finding[] = [];
  const { host, port } = splitListen(server.listen);
  if (port > 65_535) {
    problems.push({ path: ["server", "listen"], sentence: "names a port above 65535." });
  }
  if ((host === "0.0.0.0" || host === "::") && server.publicUrl === undefined) {
    problems.push({
      path: ["server", "publicUrl"],
      sentence: `is missing. server.listen is ${server.listen}, which says not how machines reach this server.`,
    });
  }
  if (!isLoopbackHost(host) && secrets.statusToken === undefined) {
    problems.push({
      path: ["secrets", "statusToken"],
      sentence: "is missing. It is needed because server.listen lets others reach the page and the API.",
    });
  }
  const reached = server.publicUrl === undefined ? host : new URL(server.publicUrl).hostname;
  const containers = Object.entries(presets).filter(([, preset]) => preset.compute === "docker");
  for (const [name, preset] of containers) {
    if (isLoopbackHost(reached) && preset.docker?.network !== "host") {
      problems.push({
        path: ["presets", name, "compute"],
        sentence:
          "is docker, but a container cannot reach this server on loopback. Set server.publicUrl, or docker.network to host.",
      });
    }
  }
  return { problems, warnings: [] };
}

function checkSecrets({ secrets, presets }: ConfigDocument): Verdict {
  const problems: Finding[] = [];
  const isBox = Object.values(presets).some(({ compute }) => compute === "local" || compute === "docker");
  for (const name of ["webhookSecret", "appPrivateKey"] as const) {
    if (isBox && secrets[name] === undefined) {
      problems.push({ path: ["secrets", name], sentence: "is missing. A box needs it." });
    }
  }
  for (const [name, reference] of Object.entries(secrets)) {
    if (reference === undefined) continue;
    const count = Object.values(reference).filter((value) => value !== undefined).length;
    if (count !== 1) {
      problems.push({
        path: ["secrets", name],
        sentence: "needs either { file: <path> } or { environment: <NAME> }, and only one of them.",
      });
    }
  }
  return { problems, warnings: [] };
}

function checkPresets({ presets }: ConfigDocument): Verdict {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const seen = new Map<string, string>();
  if (Object.keys(presets).length === 0) {
    problems.push({ path: ["presets"], sentence: "is empty. Without a preset no job can be served." });
  }
  for (const [name, preset] of Object.entries(presets)) {
    const path = ["presets", name];
    problems.push(...labelProblems(preset.labels, [...path, "labels"]));
    problems.push(...computeProblems(preset, path));
    if (preset.warm > preset.max) {
      problems.push({ path: [...path, "warm"], sentence: `is more than max, which is ${preset.max}.` });
    }
    warnings.push(...labelWarnings(preset, [...path, "labels"]));
    const key = JSON.stringify([preset.system, preset.architecture, plainLabels(preset.labels)]);
    const twin = seen.get(key);
    if (twin === undefined) seen.set(key, name);
    else {
      warnings.push({
        path: [...path, "labels"],
        sentence: `match the same jobs as presets.${twin}, which comes first and gets them all. Only mayfly/${name} leads here.`,
      });
    }
  }
  return { problems, warnings };
}

type PresetDocument = ConfigDocument["presets"][string];

function computeProblems(preset: PresetDocument, path: readonly string[]): readonly Finding[] {
  const problems: Finding[] = [];
  for (const compute of ["local", "docker", "ec2", "fargate"] as const) {
    if (preset[compute] !== undefined && preset.compute !== compute) {
      problems.push({
        path: [...path, compute],
        sentence: `has no effect, because compute is ${preset.compute}. Remove it.`,
        aboutKey: true,
      });
    }
  }
  if (preset.compute === "docker") {
    if (preset.image === undefined && preset.docker?.image === undefined) {
      problems.push({ path: [...path, "image"], sentence: "is missing: a container needs one." });
    }
    if (preset.image !== undefined && typeof preset.image !== "string") {
      problems.push({ path: [...path, "image"], sentence: "must be a container image reference, a text." });
    }
    if (preset.image !== undefined && preset.docker?.image !== undefined) {
      problems.push({ path: [...path, "docker", "image"], sentence: "is given twice. Keep one of the two." });
    }
  }
  if (preset.compute === "ec2") problems.push(...ec2Problems(preset, path));
  if (preset.compute === "fargate") problems.push(...fargateProblems(preset, path));
  return problems;
}

function ec2Problems(preset: PresetDocument, path: readonly string[]): readonly Finding[] {
  const problems: Finding[] = [];
  const { system, architecture, instanceTypes, cpu, ram, image } = preset;
  if (system !== "linux") {
    problems.push({
      path: [...path, "system"],
      sentence: "must be linux: machines on ec2 run nothing else.",
    });
  }
  for (const [index, name] of instanceTypes.entries()) {
    const sentence = typeSentence(name, architecture);
    if (sentence !== undefined) problems.push({ path: [...path, "instanceTypes", String(index)], sentence });
  }
  if (instanceTypes.length === 0 && cpu === undefined && ram === undefined) {
    const sentence = "is missing, and so are cpu and ram: name machine types, or a size to choose them by.";
    problems.push({ path: [...path, "instanceTypes"], sentence });
  } else if (instanceTypes.length === 0) {
    const fitting = typesThatFit(ec2MachineTypes(), { architecture, cpu, memoryGib: ram });
    const sentence = "is more than any known machine type has. Name the types in instanceTypes.";
    if (fitting.length === 0) problems.push({ path: [...path, cpu === undefined ? "ram" : "cpu"], sentence });
  }
  if (typeof image === "string" && imageKindOf(image) !== "machine") {
    const sentence =
      "is no image of EC2. One of ami-…, { ssm: … }, { pipeline: … } and { name: … } is expected.";
    problems.push({ path: [...path, "image"], sentence });
  }
  return problems;
}

function fargateProblems(preset: PresetDocument, path: readonly string[]): readonly Finding[] {
  const problems: Finding[] = [];
  const { system, instanceTypes, cpu, ram, image, diskGib } = preset;
  const find = (key: string, sentence: string) => problems.push({ path: [...path, key], sentence });
  if (system !== "linux") find("system", "must be linux: tasks of Fargate run nothing else here.");
  if (instanceTypes.length > 0) {
    find("instanceTypes", "has no meaning on fargate, which has no types. Set cpu and ram.");
  }
  if (cpu === undefined && ram === undefined) {
    find("cpu", "is missing, and so is ram: a task of Fargate has a size, for example cpu: 1 and ram: 2.");
  }
  const valid = nearestFargateSize({ cpu, memoryGib: ram });
  if (valid !== undefined) {
    const which = cpu === undefined || ram === undefined ? "" : " together with ram";
    const sentence = `is no size of a Fargate task${which}. The nearest is cpu: ${valid.cpu}, ram: ${valid.memoryGib}.`;
    find(cpu === undefined ? "ram" : "cpu", sentence);
  }
  if (diskGib !== undefined && (diskGib < 21 || diskGib > 200)) {
    find("diskGib", "must be from 21 to 200 on fargate. Without it, a task has 20.");
  }
  if (image === undefined) {
    find("image", "is missing: a task needs one, also where jobs may name another with image:<reference>.");
  } else if (typeof image !== "string" || imageKindOf(image) !== "container") {
    find("image", "must be a container image reference, a text.");
  }
  return problems;
}

/** Labels by which workflows ask for what no task has. */
const labelsOfDocker: readonly string[] = ["docker", "dind", "docker-in-docker", "containers"];

function dockerWarnings({ presets }: ConfigDocument): readonly Finding[] {
  return Object.entries(presets).flatMap(([name, { compute, labels }]) =>
    labels.flatMap((label, index): readonly Finding[] => {
      if (compute !== "fargate" || !labelsOfDocker.includes(label.toLowerCase())) return [];
      const sentence = `promises what tasks of Fargate do not have: Docker. Give ${label} to a preset on EC2.`;
      return [{ path: ["presets", name, "labels", String(index)], sentence }];
    }),
  );
}

/** Whether a class can be had where it is asked for; every compute but Fargate takes any size. */
function checkClasses({ labels, presets }: ConfigDocument): Verdict {
  const isOn = (name: string) => Object.values(presets).some(({ compute }) => compute === name);
  const warnings: Finding[] = [];
  if (labels.classesParameter !== undefined && !isOn("ec2") && !isOn("fargate")) {
    const sentence = "has no effect: only functions on AWS read it.";
    warnings.push({ path: ["labels", "classesParameter"], sentence });
  }
  if (!isOn("fargate")) return { problems: [], warnings };
  const problems: Finding[] = [];
  for (const [name, size] of Object.entries(labels.classes)) {
    const sentence = taskSizeSentence(size);
    if (sentence !== undefined) problems.push({ path: ["labels", "classes", name], sentence });
  }
  return { problems, warnings };
}

/** What is wrong with a machine type for machines of this architecture; types that are not known are left to EC2. */
function typeSentence(name: string, architecture: string): string | undefined {
  const known = ec2MachineTypes();
  const type = known.find((entry) => entry.name === name.toLowerCase());
  if (type === undefined) return undefined;
  if (name !== type.name) return `is written ${type.name}.`;
  if (type.architecture === architecture) return undefined;
  return `is a machine type of ${type.architecture}, and the preset is ${architecture}.`;
}

const systems: Readonly<Record<string, string>> = { linux: "linux", windows: "windows", macos: "macos" };
const architectures: Readonly<Record<string, string>> = {
  x64: "x86_64",
  x86_64: "x86_64",
  amd64: "x86_64",
  arm64: "arm64",
  aarch64: "arm64",
};
const reservedPrefixes = ["mayfly/", "spotrunner/", "class:", "image:"];

/** Labels that are understood as the system or architecture, and not as a name. */
function isReserved(label: string): boolean {
  return label === "self-hosted" || Object.hasOwn(systems, label) || Object.hasOwn(architectures, label);
}

function plainLabels(labels: readonly string[]): readonly string[] {
  return labels
    .map((label) => label.toLowerCase())
    .filter((label) => !isReserved(label))
    .sort();
}

function labelProblems(labels: readonly string[], path: readonly string[]): readonly Finding[] {
  const problems: Finding[] = [];
  const seen = new Set<string>();
  for (const [index, label] of labels.entries()) {
    const lower = label.toLowerCase();
    const sentence = labelSentence(label) ?? (seen.has(lower) ? "is there twice." : undefined);
    if (sentence !== undefined) problems.push({ path: [...path, String(index)], sentence });
    seen.add(lower);
  }
  return problems;
}

function labelSentence(label: string): string | undefined {
  const prefix = reservedPrefixes.find((candidate) => label.toLowerCase().startsWith(candidate));
  if (prefix !== undefined) return `starts with ${prefix}, which has a meaning of its own in labels.`;
  if (label !== label.trim() || /[\p{Cc},]/u.test(label)) {
    return "is not a label: no commas, no control characters, no spaces at its ends.";
  }
  return undefined;
}

function labelWarnings(preset: PresetDocument, path: readonly string[]): readonly Finding[] {
  const warnings: Finding[] = [];
  for (const [index, label] of preset.labels.entries()) {
    const system = systems[label.toLowerCase()];
    const architecture = architectures[label.toLowerCase()];
    const wrong =
      (system !== undefined && system !== preset.system) ||
      (architecture !== undefined && architecture !== preset.architecture);
    if (wrong) {
      warnings.push({
        path: [...path, String(index)],
        sentence: `contradicts the preset, which is ${preset.system} on ${preset.architecture}: jobs with this label never match.`,
      });
    }
  }
  return warnings;
}

function checkMappings({ labels, presets }: ConfigDocument): Verdict {
  const problems: Finding[] = [];
  const seen = new Set<string>();
  for (const [index, mapping] of labels.mappings.entries()) {
    const path = ["labels", "mappings", index];
    const lower = mapping.label.toLowerCase();
    const sentence = isReserved(lower) ? "has a meaning of its own already." : labelSentence(mapping.label);
    if (sentence !== undefined) problems.push({ path: [...path, "label"], sentence });
    if (seen.has(lower)) problems.push({ path: [...path, "label"], sentence: "is mapped twice." });
    seen.add(lower);
    for (const spellings of [
      ["instanceTypes", "instanceType", "instance_types", "instance_type"],
      ["image", "ami"],
    ] as const) {
      const [first, second] = spellings.filter((name) => name in mapping);
      if (first !== undefined && second !== undefined) {
        problems.push({ path: [...path, second], sentence: `and ${first} say the same. Keep one of them.` });
      }
    }
    if (mapping.preset !== undefined && !Object.hasOwn(presets, mapping.preset)) {
      const hint = nearest(mapping.preset, Object.keys(presets));
      problems.push({ path: [...path, "preset"], sentence: `names no preset of this document.${hint}` });
    }
    const preset = mapping.preset === undefined ? undefined : presets[mapping.preset];
    for (const name of preset?.compute === "ec2" ? mappedTypes(mapping) : []) {
      const wrong = typeSentence(name, preset?.architecture ?? "");
      if (wrong !== undefined) problems.push({ path, sentence: `maps to ${name}, which ${wrong}` });
    }
  }
  return { problems, warnings: [] };
}

function checkTiming({ timing }: ConfigDocument): Verdict {
  const problems: Finding[] = [];
  if (timing.launchLimitSeconds < timing.launchRetrySeconds) {
    problems.push({
      path: ["timing", "launchLimitSeconds"],
      sentence: `must not be less than launchRetrySeconds, which is ${timing.launchRetrySeconds}.`,
    });
  }
  if (timing.capacityBackoffLimitSeconds < timing.capacityBackoffSeconds) {
    problems.push({
      path: ["timing", "capacityBackoffLimitSeconds"],
      sentence: `must not be less than capacityBackoffSeconds, which is ${timing.capacityBackoffSeconds}.`,
    });
  }
  const warnings: Finding[] =
    timing.jobDeadlineMinutes <= 1440
      ? []
      : [
          {
            path: ["timing", "jobDeadlineMinutes"],
            sentence: "is more than 24 hours, after which GitHub cancels a queued job itself.",
          },
        ];
  return { problems, warnings };
}
