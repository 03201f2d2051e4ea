import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { serverUrl } from "./connection.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mayfly-connection-"));
  vi.stubEnv("MAYFLY_URL", undefined);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** The address that the command line takes from a configuration whose server listens there. */
async function urlOf(listen: string): Promise<string> {
  const config = join(folder, "mayfly.yaml");
  const server = `{ listen: "${listen}", publicUrl: "https://mayfly.example.com" }`;
  await writeFile(
    config,
    `github: { appId: 1 }
secrets:
  webhookSecret: { environment: A }
  appPrivateKey: { environment: B }
  statusToken: { environment: C }
server: ${server}
presets: { small: { compute: local, labels: [small], architecture: x86_64 } }
`,
  );
  return serverUrl({ config });
}

describe("the address of the server, from its configuration", () => {
  it.each([
    ["127.0.0.1:8085", "http://127.0.0.1:8085"],
    ["0.0.0.0:9000", "http://127.0.0.1:9000"],
    ["[::]:9000", "http://[::1]:9000"],
    ["localhost:9000", "http://localhost:9000"],
  ])("is on this machine: %s", async (listen, url) => {
    expect(await urlOf(listen)).toBe(url);
  });

  it.each(["203.0.113.7:80", "collector.example.com:80", "[2001:db8::1]:80"])(
    "is not believed where it is no address of this machine: %s",
    async (listen) => {
      await expect(urlOf(listen)).rejects.toMatchObject({ kind: "operator", code: "SERVER_ELSEWHERE" });
    },
  );

  it("may be any address that this machine has", async () => {
    const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    for (const { address } of own) {
      const host = address.includes(":") ? `[${address}]` : address;
      expect(await urlOf(`${host}:80`)).toBe(`http://${host}:80`);
    }
    expect(own.length).toBeGreaterThan(0);
  });

  it("may be anywhere when it is named", async () => {
    expect(await serverUrl({ url: "https://mayfly.example.com/" })).toBe("https://mayfly.example.com");
  });
});
