import { MayflyError } from "../core/errors.ts";
import type { SizeClass } from "../core/model.ts";
import { nearestFargateSize } from "./fargate-sizes.ts";

/*
 * Sizes that jobs name with `class:<name>`, as the configuration has them, and as a parameter of a cloud may have them in
 * its place. A function that reads the parameter brings no schema with it, so that the rules stand here; a test compares
 * them with those of the configuration.
 */

/** As they are written: units of CPU, of which 1024 are one processor, and MiB. */
export type ClassesDocument = Readonly<Record<string, { readonly cpu: number; readonly memory: number }>>;

export const className = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const classLimits = {
  cpu: { min: 64, max: 1_048_576 },
  memory: { min: 64, max: 33_554_432 },
} as const;

export function classesOf(document: ClassesDocument): Readonly<Record<string, SizeClass>> {
  return Object.fromEntries(
    Object.entries(document).map(([name, { cpu, memory }]) => [
      name,
      { cpu: cpu / 1024, memoryGib: memory / 1024 },
    ]),
  );
}

/** What is wrong with a class where tasks of Fargate have to have its size; undefined when nothing is. */
export function taskSizeSentence({ cpu, memory }: ClassesDocument[string]): string | undefined {
  const valid = nearestFargateSize({ cpu: cpu / 1024, memoryGib: memory / 1024 });
  if (valid === undefined) return undefined;
  const size = `cpu: ${valid.cpu * 1024}, memory: ${valid.memoryGib * 1024}`;
  return `is no size of a Fargate task. The nearest is { ${size} }.`;
}

/**
 * The classes of a text such as `{"medium":{"cpu":1024,"memory":2048}}`. Throws a `MayflyError` of kind `operator` that
 * says what is wrong with it. `onFargate`: a preset is there.
 */
export function readClasses(
  text: string,
  { place, onFargate }: { readonly place: string; readonly onFargate: boolean },
): Readonly<Record<string, SizeClass>> {
  const value = parseJson(text);
  const entries = isObject(value) ? Object.entries(value) : undefined;
  const problems = entries?.flatMap(([name, size]) => problemOf(name, size, onFargate) ?? []) ?? [
    'it is no JSON object of sizes, such as {"medium":{"cpu":1024,"memory":2048}}.',
  ];
  if (problems.length === 0) return classesOf(value as ClassesDocument);
  throw new MayflyError({
    kind: "operator",
    code: "CLASSES_INVALID",
    message: `The classes in ${place} cannot be used: ${problems.join(" ")}`,
    suggestion: "Correct the value; it is read again within five minutes.",
  });
}

function problemOf(name: string, size: unknown, onFargate: boolean): string | undefined {
  if (!className.test(name)) return `${JSON.stringify(name.slice(0, 64))} is no name of a class.`;
  if (!isObject(size)) return `${name} is no object of cpu and memory.`;
  const other = Object.keys(size).find((key) => key !== "cpu" && key !== "memory");
  if (other !== undefined) return `${name}.${other.slice(0, 64)} is not known; a class has cpu and memory.`;
  for (const key of ["cpu", "memory"] as const) {
    const { min, max } = classLimits[key];
    const number = size[key];
    const isRight = Number.isInteger(number) && Number(number) >= min && Number(number) <= max;
    if (!isRight) return `${name}.${key} must be a whole number from ${min} to ${max}.`;
  }
  const sentence = onFargate ? taskSizeSentence(size as ClassesDocument[string]) : undefined;
  return sentence === undefined ? undefined : `${name} ${sentence}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The caller says that it is none.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
