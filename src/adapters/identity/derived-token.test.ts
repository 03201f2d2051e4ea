import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Secret } from "../../core/secret.ts";
import { createSystemRandom } from "../random/system.ts";
import { createDerivedTokenIdentity } from "./derived-token.ts";
import { readOrCreateKey } from "./key-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-key-"));
});
afterEach(() => rm(folder, { recursive: true }));

const identity = createDerivedTokenIdentity(new Secret("a key"));
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

test("a machine's token proves that machine and no other, and is the same every time", async () => {
  const token = identity.issue("m-1")!.reveal();
  expect(identity.issue("m-1")!.reveal()).toBe(token);
  expect(await identity.verify("m-1", bearer(token))).toBe("proven");
  expect(await identity.verify("m-2", bearer(token))).not.toBe("proven");
  const other = createDerivedTokenIdentity(new Secret("another key"));
  expect(await other.verify("m-1", bearer(token))).not.toBe("proven");
  // A token is about a machine id: it says nothing of what a provider calls the machine.
  expect(await identity.verify({ compute: "local", providerId: "m-1" }, bearer(token))).not.toBe("proven");
});

test("missing, malformed and wrong proofs get three sentences, none with what would have been right", async () => {
  const right = identity.issue("m-1")!.reveal();
  const proofs = [{ headers: {} }, { headers: { authorization: `Basic ${right}` } }, bearer(right.slice(1))];
  const sentences = new Set<string>();
  for (const proof of proofs) {
    const answer = await identity.verify("m-1", proof);
    if (answer === "proven") throw new Error("proven without proof");
    expect(answer.unproven).not.toContain(right.slice(2));
    sentences.add(answer.unproven);
  }
  expect(sentences.size).toBe(3);
});

test("processes that race end with one key, which only the owner may read, and leave nothing else behind", async () => {
  const path = join(folder, "data", "machine-key");
  const keys = await Promise.all(
    Array.from({ length: 10 }, () => readOrCreateKey(path, createSystemRandom())),
  );
  expect(new Set(keys.map((key) => key.reveal())).size).toBe(1);
  expect(Buffer.from(keys[0]!.reveal(), "base64url")).toHaveLength(32);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder, "data"))).toEqual(["machine-key"]);
});

test("a damaged or exposed key file, and a folder that cannot be made, are told to the operator", async () => {
  const path = join(folder, "key");
  const read = () => readOrCreateKey(path, createSystemRandom());
  await writeFile(path, "short\n", { mode: 0o600 });
  await expect(read()).rejects.toMatchObject({ kind: "operator", code: "KEY_FILE_DAMAGED" });
  await rm(path);
  await read();
  await chmod(path, 0o644);
  await expect(read()).rejects.toMatchObject({ kind: "operator", code: "KEY_FILE_EXPOSED" });
  const below = readOrCreateKey(join(path, "key"), createSystemRandom());
  await expect(below).rejects.toMatchObject({ kind: "operator", code: "KEY_FILE_UNUSABLE" });
});
