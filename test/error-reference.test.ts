import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { sourceTokens } from "../tools/source-tokens.ts";

/*
 * docs/reference/errors.md against the sources. Codes are the only texts in the sources that are written in capitals
 * with underscores, beside the few foreign words below; so every such text is a code, wherever it stands.
 */

const root = fileURLToPath(new URL("../", import.meta.url));

/** Words of others that look like codes of ours. */
const foreignWords: ReadonlySet<string> = new Set([
  ...["AUDIT_WRITE", "NET_RAW", "SYS_CHROOT"], // capabilities of Linux
  ...["KEYS_ONLY", "PAY_PER_REQUEST", "LAMBDA_TASK_ROOT"], // DynamoDB, Lambda
  ...["FARGATE_SPOT", "X86_64"], // ECS
  ...["IMAGE_CREATING"], // another system that starts tasks
  ...["ARM_CONTAINER", "IN_PROGRESS", "END_OF_DOCKERFILE"], // CodeBuild, and our recipe for it
  ...["EAI_AGAIN", "ERR_HTTP_REQUEST_TIMEOUT", "HPE_HEADER_OVERFLOW"], // Node
  ...["DUPLICATE_KEY", "TAB_AS_INDENT", "TAG_RESOLVE_FAILED"], // the YAML parser
]);

test("every code of the sources is documented", () => {
  expect([...codesInSources()].filter((code) => !documentedCodes().includes(code)).sort()).toEqual([]);
});

test("every documented code is in the sources", () => {
  const codes = codesInSources();
  expect(documentedCodes().filter((code) => !codes.has(code))).toEqual([]);
});

test("no code is documented twice", () => {
  const codes = documentedCodes();
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
});

test("a code is found however it is written", () => {
  const source = [
    'const thrown = { code: missing ? "A_ONE" : "B_TWO" };',
    'known(error, "C_THREE", "Do it again.");',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a source, as text.
    "const made = { code: `D_FOUR_${status}` };",
    '// { code: "NOT_CODE" }',
    'read("MAYFLY_URL"); const text = "It is A_FIVE";',
  ].join("\n");
  expect([...codesIn(source)]).toEqual(["A_ONE", "B_TWO", "C_THREE", "D_FOUR_<status>"]);
});

function codesInSources(): ReadonlySet<string> {
  const codes = new Set<string>();
  for (const file of sourceFiles("src")) {
    for (const code of codesIn(readFileSync(file, "utf8"))) codes.add(code);
  }
  return codes;
}

function codesIn(source: string): ReadonlySet<string> {
  const codes = new Set<string>();
  for (const { kind, text } of sourceTokens(source)) {
    const plain = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(text);
    if (kind === "text" && plain && !text.startsWith("MAYFLY_") && !foreignWords.has(text)) codes.add(text);
  }
  for (const [, start, name] of source.matchAll(/code: `([A-Z][A-Z0-9_]*_)\$\{(?:\w+\.)*(\w+)\}`/g)) {
    codes.add(`${start}<${name}>`);
  }
  return codes;
}

/** The first cell of every row that is a code. */
function documentedCodes(): readonly string[] {
  const page = readFileSync(join(root, "docs/reference/errors.md"), "utf8");
  return [...page.matchAll(/^\| `([A-Z][A-Z0-9_]*_(?:[A-Z0-9_]+|<\w+>))` \|/gm)].map(([, code = ""]) => code);
}

/** What can reach an operator: neither tests, nor the emulator, the simulator without its replay, and the memory adapters. */
function sourceFiles(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.endsWith("/memory.ts"))
    .filter((name) => !name.startsWith("emulator/"))
    .filter((name) => !name.startsWith("targets/sim/") || name === "targets/sim/replay.ts")
    .map((name) => join(root, folder, name));
}
