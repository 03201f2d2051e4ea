import { readFile } from "node:fs/promises";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { configReference } from "./generate-config-reference.ts";

test.each([...configReference()])("docs/reference/%s is current", async (name, content) => {
  const file = await readFile(new URL(`../docs/reference/${name}`, import.meta.url), "utf8");
  expect(file, "run: node tools/generate-config-reference.ts").toBe(content);
});

test("the JSON Schema accepts the example, and refuses an unknown key and a secret in plain text", async () => {
  const ajv = new Ajv.default({ strict: false });
  addFormats.default(ajv);
  const accepts = ajv.compile(JSON.parse(configReference().get("mayfly.schema.json")!));
  const example = parse(await readFile(new URL("../examples/mayfly.yaml", import.meta.url), "utf8"));
  expect(accepts(example), JSON.stringify(accepts.errors)).toBe(true);
  expect(accepts({ ...example, limit: {} })).toBe(false);
  expect(accepts({ ...example, secrets: { ...example.secrets, webhookSecret: "hunter2" } })).toBe(false);
});
