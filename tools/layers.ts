/**
 * Who may import whom. `types`: with `import type` only. A list: only these folders of the layer, where `own folder`
 * is the one of the importing file.
 */
export type Permission = "yes" | "types" | readonly string[];

export interface Layer {
  /** The folder below `src/`. */
  readonly name: string;
  readonly may: Readonly<Partial<Record<string, Permission>>>;
  /** The modules of Node that it may import; absent: all of them. */
  readonly nodeModules?: readonly string[];
  /** Packages, by folder of the layer where they belong to one technology; `*` is the whole layer. */
  readonly packages: Readonly<Record<string, readonly string[]>>;
  /** The cell of the column `packages` in ARCHITECTURE.md. */
  readonly packagesText: string;
  /** Reads no clock, no randomness, no environment, starts no timer, and knows no cloud by name. */
  readonly pure?: true;
}

const everything = {
  core: "yes",
  ports: "yes",
  flow: "yes",
  adapters: "yes",
  config: "yes",
  emulator: "yes",
  dashboard: "yes",
} as const;

/** The layer table of the architecture, as data. ARCHITECTURE.md shows it, and a test compares the two. */
export const layers: readonly Layer[] = [
  {
    name: "core",
    may: { core: "yes" },
    nodeModules: ["node:crypto"],
    packages: {},
    packagesText: "none (`node:crypto`)",
    pure: true,
  },
  {
    name: "ports",
    may: { core: "types", ports: "yes" },
    nodeModules: [],
    packages: {},
    packagesText: "none",
    pure: true,
  },
  {
    name: "flow",
    may: { core: "yes", ports: "yes", flow: "yes" },
    nodeModules: [],
    packages: {},
    packagesText: "none",
    pure: true,
  },
  {
    name: "adapters",
    may: { core: "yes", ports: "yes", adapters: ["own folder", "sqlite", "aws"] },
    packages: {
      aws: ["aws4", "fast-xml-parser"],
      compute: ["tar-stream"],
      github: ["@octokit/core"],
      log: ["pino"],
    },
    packagesText: "its SDK",
  },
  {
    name: "config",
    may: { core: "yes", config: "yes" },
    packages: { "*": ["yaml", "zod"] },
    packagesText: "the validator",
  },
  {
    name: "emulator",
    may: { core: "types", ports: "types", emulator: "yes" },
    packages: { "*": ["yaml"] },
    packagesText: "`yaml`",
  },
  {
    name: "dashboard",
    may: { core: "types", ports: "types", dashboard: "yes" },
    packages: {},
    packagesText: "none",
  },
  { name: "agent", may: {}, nodeModules: [], packages: {}, packagesText: "none" },
  {
    name: "targets",
    // The simulator runs the very workers of the box; the routes are those of every target.
    may: { ...everything, targets: ["own folder", "box", "doctor", "routes"] },
    packages: { "*": ["yaml"] },
    packagesText: "few",
  },
  {
    name: "cli",
    may: { ...everything, targets: "yes", cli: "yes" },
    packages: { "*": ["commander"] },
    packagesText: "few",
  },
];

/** Single files that stand outside the table, each with its reason. */
export const exceptions: readonly {
  readonly file: string;
  readonly layer: string;
  readonly because: string;
}[] = [
  {
    file: "src/adapters/github/memory.ts",
    layer: "emulator",
    because: "It is the emulator's model of GitHub behind the port.",
  },
  {
    file: "src/targets/sim/batches.ts",
    layer: "targets",
    because: "The simulator gives messages to functions in the very batches in which they get them on AWS.",
  },
];

/** Where the environment is read. The runner is a process of its own, and stands where GitHub's runner stands. */
export const environmentReaders: readonly string[] = ["src/config/environment.ts", "src/emulator/runner/"];

const columns = ["core", "ports", "flow", "adapters", "config", "emulator", "dashboard", "targets"];

/** The rows of the table as ARCHITECTURE.md shows it: those that may import the same are not told apart there. */
export function layerTableRows(): readonly (readonly string[])[] {
  const shown = layers.filter((layer) => layer.name !== "agent" && layer.name !== "cli");
  const rows = shown.map((layer) => [
    layer.name === "targets" ? "targets, cli" : layer.name,
    ...columns.map((column) => (layer.name === column ? ownCell(layer) : cell(layer.may[column]))),
    layer.packagesText,
  ]);
  return [["may import →", ...columns, "packages"], ...rows];
}

function ownCell(layer: Layer): string {
  // The row stands for the CLI too, which may import every target; a target is closed to its neighbours.
  return layer.name === "targets" ? "yes" : cell(layer.may[layer.name]);
}

function cell(permission: Permission | undefined): string {
  if (permission === undefined) return "–";
  if (typeof permission === "string") return permission;
  return permission.map((folder) => (folder === "own folder" ? folder : `\`${folder}\``)).join(", ");
}
