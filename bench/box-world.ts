import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";

/** A folder with all that a box needs to start: a config, an App's key and a webhook secret. */
export interface BoxWorld {
  readonly folder: string;
  readonly configPath: string;
  readonly port: number;
  readonly secret: string;
  readonly privateKey: string;
  readonly publicKey: string;
  remove(): Promise<void>;
}

export interface BoxWorldOptions {
  /** Machines at once, of the one preset, which takes the labels `self-hosted`, `k8s`, `linux` and `x64`. */
  readonly machines: number;
  readonly githubUrl?: string;
  readonly keys?: Pick<BoxWorld, "privateKey" | "publicKey">;
  readonly port?: number;
  readonly secret?: string;
  readonly appId?: number;
}

export async function createBoxWorld(options: BoxWorldOptions): Promise<BoxWorld> {
  const folder = await mkdtemp(join(tmpdir(), "mayfly-bench-"));
  const keys = options.keys ?? createKeys();
  const secret = options.secret ?? randomBytes(32).toString("hex");
  const port = options.port ?? (await freePort());
  const configPath = join(folder, "mayfly.yaml");
  await writeFile(join(folder, "webhook-secret"), secret, { mode: 0o600 });
  await writeFile(join(folder, "app.pem"), keys.privateKey, { mode: 0o600 });
  await writeFile(configPath, stringify(configOf(options, port)));
  return {
    folder,
    configPath,
    port,
    secret,
    ...keys,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

export function createKeys(): Pick<BoxWorld, "privateKey" | "publicKey"> {
  return generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

/** A port that nobody listens on: a box must know its port before it starts, as its machines look for it there. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("The system gave no port.");
  return address.port;
}

function configOf({ machines, githubUrl, appId }: BoxWorldOptions, port: number): unknown {
  return {
    github: { server: githubUrl ?? "http://127.0.0.1:9", appId: appId ?? 12345, scope: "organization" },
    server: { listen: `127.0.0.1:${port}`, dataDirectory: "data" },
    secrets: { webhookSecret: { file: "webhook-secret" }, appPrivateKey: { file: "app.pem" } },
    presets: {
      "linux-x64": {
        labels: ["k8s", "linux", "x64"],
        architecture: "x86_64",
        compute: "local",
        local: { runnerDirectory: "runner" },
        max: machines,
      },
    },
    limits: { machines, perRepository: 100_000 },
    admission: { publicRepositories: "allow" },
  };
}
