import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkLayers, checkSource, type Violation } from "./check-layers.ts";
import { layerTableRows } from "./layers.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** One violation for each file, and a part of the sentence that it must get. */
const planted: Readonly<Record<string, readonly [source: string, sentence: string]>> = {
  "src/core/loads-flow.ts": ['import { a } from "../flow/a.ts";', "core may import core, node:crypto."],
  "src/core/types-of-flow.ts": ['import type { A } from "../flow/a.ts";', "core may import core"],
  "src/core/late.ts": ['export const load = () => import("../ports/clock.ts");', "imports ../ports/clock.ts"],
  "src/core/passes-on.ts": ['export { a } from "../flow/a.ts";', "imports ../flow/a.ts"],
  "src/core/passes-all-on.ts": ['export * from "../flow/a.ts";', "imports ../flow/a.ts"],
  "src/core/side-effect.ts": ['import "../flow/a.ts";', "imports ../flow/a.ts"],
  "src/core/computed.ts": ["export const load = (name: string) => import(name);", "whose name is computed"],
  "src/core/files.ts": ['import { readFile } from "node:fs";', "imports node:fs"],
  "src/core/package.ts": ['import { z } from "zod";', "core may import no package"],
  "src/core/outside.ts": ['import { a } from "../../test/a.ts";', "It is not below src/"],
  "src/ports/loads-core.ts": ['import { a } from "../core/a.ts";', "write `import type`"],
  "src/ports/inline-type.ts": ['import { type A } from "../core/a.ts";', "write `import type`"],
  "src/flow/loads-adapter.ts": ['import { a } from "../adapters/log/pino.ts";', "flow may import core"],
  "src/adapters/queue/neighbour.ts": [
    'import { a } from "../store/memory.ts";',
    "its own folder of adapters",
  ],
  "src/adapters/github/app.ts": ['import { a } from "../../emulator/model.ts";', "adapters may import"],
  "src/adapters/queue/package.ts": ['import pino from "pino";', "adapters/queue may import no package"],
  "src/config/loads-adapter.ts": [
    'import { a } from "../adapters/log/pino.ts";',
    "config may import core, config",
  ],
  "src/emulator/loads-core.ts": ['import { a } from "../core/a.ts";', "Of core, it may import types only"],
  "src/dashboard/loads-flow.ts": [
    'import { a } from "../flow/status.ts";',
    "dashboard may import core (types only)",
  ],
  "src/agent/any.ts": ['import { a } from "../core/a.ts";', "agent may import nothing"],
  "src/targets/box/neighbour.ts": ['import { a } from "../aws/a.ts";', "its own folder of targets"],
  "src/targets/box/loads-cli.ts": ['import { a } from "../../cli/status.ts";', "targets may import"],
  "src/cli/process.ts": ['import process from "node:process";', "is there without it"],
  "src/elsewhere/a.ts": ["export const a = 1;", "is in no layer"],

  "src/core/now.ts": ["export const a = Date.now();", "uses Date, which core may not"],
  "src/flow/present.ts": ["export const a = new Date();", "uses new Date() for the present"],
  "src/flow/present-bare.ts": ["export const a = new Date;", "uses new Date() for the present"],
  "src/core/random.ts": ["export const a = Math.random();", "uses Math"],
  "src/core/global.ts": ["export const a = globalThis.Date.now();", "uses Date"],
  "src/core/performance.ts": ["export const a = performance.now();", "uses performance"],
  "src/flow/process.ts": ["export const a = process.pid;", "uses process"],
  "src/flow/timer.ts": ["setTimeout(() => {}, 1);", "uses setTimeout"],
  "src/core/interval.ts": ["globalThis.clearInterval(setInterval(() => {}, 1));", "uses setInterval"],
  "src/core/template.ts": [`export const a = \`at \${Date.now()}\`;`, "uses Date"],
  "src/targets/box/environment.ts": ["export const a = process.env.HOME;", "reads process.env"],
  "src/cli/destructured.ts": ["export const { HOME } = process.env;", "reads process.env"],
  "src/adapters/log/console.ts": ['console.log("a");', "writes to the console"],
  "src/core/cloud-word.ts": ["export const ec2Limit = 1;", "names the cloud ec2"],
  "src/flow/cloud-text.ts": ['export const a = (b: string) => b === "fargate";', "names the cloud fargate"],

  "src/core/no-ending.ts": ['import { a } from "./now";', "Write the ending"],
  "src/core/wrong-ending.ts": ['import { a } from "./now.js";', "Write the ending"],
  "src/core/default.ts": ["export default 1;", "has a default export"],
  "src/core/default-list.ts": ["const a = 1;\nexport { a as default };", "has a default export"],
  "src/core/utils.ts": ["export const a = 1;", "is named utils"],
  "src/flow/helpers/time.ts": ["export const a = 1;", "is named helpers"],
  "src/cli/index.ts": ["export const a = 1;", "is named index"],
  "src/core/now.test.ts": ['import { a } from "./common";', "Write the ending"],
};

/** What looks like a violation to a search for words, and is none. */
const allowed: Readonly<Record<string, string>> = {
  "src/core/innocent.ts": `
    import { createHash } from "node:crypto";
    import type { Clock } from "./model.ts";
    // Date.now(), process.env and EC2 in a comment; /* import "../flow/a.ts" */
    /** \`import { a } from "../flow/a.ts"\` in a doc comment. */
    export const at = new Date(0).toISOString() + new Date(Date.UTC(2026, 0)).getTime();
    export const text = "Date.now() \\" setTimeout(" + 'import("zod")';
    export const slashes = /["'\`]\\/\\/[/"]/.test(text) ? 4 / 2 / 1 : \`\${createHash("sha256")} // no comment\`;
    export const ec2SpotPriceUsd = 1;
    export type Compute = "local" | "ec2" | "gce";
    export interface Job { process: string; readonly default: number; import: boolean }
    export const f = (job: Job, clock: Clock) => [job.process, job.default, job.import, clock];
  `,
  "src/ports/clock.ts":
    'import type { A } from "../core/model.ts";\nexport type { B } from "../core/model.ts";',
  "src/adapters/github/memory.ts": 'import { a } from "../../emulator/model.ts";',
  "src/adapters/store/sqlite.ts":
    'import { a } from "../sqlite/database.ts";\nimport { b } from "./rules.ts";',
  "src/adapters/github/transport.ts": 'import { Octokit } from "@octokit/core";',
  "src/config/environment.ts": "export const a = () => process.env;",
  "src/cli/late.ts": 'export const a = () => import("../targets/box/demo.ts");',
  "src/core/clock.test.ts":
    'import { a } from "../adapters/clock/system.ts";\nconsole.log(Date.now(), process.env.CI);',
};

describe("a tree with one violation of each kind", () => {
  let folder: string;
  let violations: readonly Violation[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mayfly-layers-"));
    const sources = [
      ...Object.entries(planted).map(([file, [source]]) => [file, source] as const),
      ...Object.entries(allowed),
    ];
    for (const [file, source] of sources) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), source);
    }
    violations = await checkLayers(folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each(Object.entries(planted))("%s", (file, [, sentence]) => {
    const found = violations.filter((violation) => violation.file === file);
    expect(found.map((violation) => violation.message)).toEqual([expect.stringContaining(sentence)]);
  });

  test.each(Object.keys(allowed))("%s is left alone", (file) => {
    expect(violations.filter((violation) => violation.file === file)).toEqual([]);
  });
});

test("a violation is found on its line, after comments and texts of several lines", () => {
  const source = `/*\n\n*/\nconst a = \`\n\${"\\n"}\n\`; // "\nconst b = a; export const c = Date.now();\n`;
  expect(checkSource("src/core/a.ts", source)).toMatchObject([{ file: "src/core/a.ts", line: 7 }]);
});

test("this repository has none, and the command says so by its exit code", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "tools", "check-layers.ts")]);
  expect(stderr.toString()).toBe("");
  expect(status).toBe(0);
});

test("ARCHITECTURE.md shows the table that is checked", async () => {
  const page = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
  const table = /<!-- layers -->\n([\s\S]*?)\n<!-- \/layers -->/.exec(page)?.[1] ?? "";
  const rows = table.split("\n").map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  const [titles, , ...body] = rows;
  expect([titles, ...body]).toEqual(layerTableRows());
});
