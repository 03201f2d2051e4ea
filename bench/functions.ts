import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { checkConfig } from "../src/config/load.ts";
import { policyDocument } from "../src/config/policy-document.ts";
import type { FunctionName } from "../src/targets/aws/functions.ts";
import { type BundledFunction, bundleFunctions } from "../tools/bundle-functions.ts";
import { pinning, serverCore } from "./child.ts";
import { type Measure, median, number, type Table } from "./measure.ts";

const rounds = 21;

/**
 * The same of the bundles of terraform-aws-github-runner 7.11.0, built with its own tool and measured on a quiet machine of
 * this kind with Node 20, where a bare Node took 41.1 ms.
 */
const peers: readonly FunctionResult[] = [
  { name: "its webhook", kilobytes: 2236, zippedKilobytes: 413, importing: 62.2, ready: 101.5 / 41.1 },
  { name: "its control plane", kilobytes: 5107, zippedKilobytes: 839, importing: 158.3, ready: 198.5 / 41.1 },
];

/**
 * How long a function on AWS takes from nothing until it is ready, and until its first request to AWS or GitHub leaves.
 * The stand-in for both answers nothing, as nothing after the request is measured, and speaks plain HTTP.
 *
 * Each start is compared with those of a Node that does nothing, right before and after it: what else the machine does then
 * slows both.
 */
export const functionStarts: Measure = {
  name: "functions",
  title: "Cold start of the functions on AWS",
  async run(progress) {
    const folder = await mkdtemp(join(tmpdir(), "mayfly-functions-"));
    const silent = await startSilentServer();
    const bundles = await bundleFunctions(folder);
    await writeBare(folder);
    const environment = await prepare(folder, silent.url);
    const measured: Compared[] = [];
    let before = await startOnce("bare", folder, environment, silent);
    for (let round = 0; round < rounds; round++) {
      for (const { name } of bundles) {
        const start = await startOnce(name, folder, environment, silent);
        const after = await startOnce("bare", folder, environment, silent);
        measured.push({ name, start, bare: meanOf(before, after) });
        before = after;
      }
      if (round % 5 === 0) progress(`round ${round}/${rounds}`);
    }
    silent.server.closeAllConnections();
    silent.server.close();
    await rm(folder, { recursive: true });
    const results = bundles.map((bundle) => resultOf(bundle, measured));
    const bareMilliseconds = median(measured.map(({ bare }) => bare.ready));
    const load = loadavg()[0] ?? 0;
    return {
      tables: [tableOf([...results, ...peers])],
      notes: [
        `Medians of ${rounds} starts, ${pinning}, without TLS; the load of the machine was ${number(load)}. A Node that does nothing took ${number(bareMilliseconds)} ms; "of bare" is the ratio to those beside it.`,
      ],
      values: { rounds, load, bareMilliseconds, results },
    };
  },
};

interface Start {
  /** Milliseconds from the spawn. */
  readonly ready: number;
  readonly firstRequest: number;
  /** Milliseconds within the process. */
  readonly importing: number;
  /** Milliseconds of a processor, until it is ready. */
  readonly processor: number;
}

interface Compared {
  readonly name: string;
  readonly start: Start;
  readonly bare: Start;
}

interface FunctionResult {
  readonly name: string;
  readonly kilobytes: number;
  readonly zippedKilobytes: number;
  readonly importing: number;
  /** These are ratios. */
  readonly ready: number;
  readonly firstRequest?: number;
  readonly processor?: number;
  /** Milliseconds beyond a bare Node. */
  readonly beyond?: number;
}

function meanOf(one: Start, other: Start): Start {
  return {
    ready: (one.ready + other.ready) / 2,
    firstRequest: (one.firstRequest + other.firstRequest) / 2,
    importing: (one.importing + other.importing) / 2,
    processor: (one.processor + other.processor) / 2,
  };
}

function resultOf(bundle: BundledFunction, measured: readonly Compared[]): FunctionResult {
  const own = measured.filter(({ name }) => name === bundle.name);
  const middle = (value: (compared: Compared) => number): number => median(own.map(value));
  return {
    name: bundle.name,
    kilobytes: bundle.bytes / 1000,
    zippedKilobytes: bundle.zippedBytes / 1000,
    importing: middle(({ start }) => start.importing),
    beyond: middle(({ start, bare }) => start.ready - bare.ready),
    ready: middle(({ start, bare }) => start.ready / bare.ready),
    firstRequest: middle(({ start, bare }) => start.firstRequest / bare.ready),
    processor: middle(({ start, bare }) => start.processor / bare.processor),
  };
}

function tableOf(results: readonly FunctionResult[]): Table {
  const optional = (value: number | undefined): string => (value === undefined ? "" : number(value));
  return {
    columns: [
      ...["function", "kB", "kB zipped", "import, ms", "ready, ms beyond bare"],
      ...["ready, of bare", "processor, of bare", "first request, of bare"],
    ],
    rows: results.map((one) => [
      one.name,
      number(one.kilobytes),
      number(one.zippedKilobytes),
      number(one.importing),
      optional(one.beyond),
      number(one.ready),
      optional(one.processor),
      optional(one.firstRequest),
    ]),
  };
}

// ------------------------------------------------------------------------------------------ one start

const runner = `
  const begun = performance.now();
  const { handler } = require(process.argv[1]);
  const importing = performance.now() - begun;
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  require("node:fs").writeSync(1, JSON.stringify({ importing, processor: (userCPUTime + systemCPUTime) / 1000 }) + "\\n");
  const context = { getRemainingTimeInMillis: () => 60000 };
  handler(JSON.parse(process.argv[2]), context).catch(() => {});
`;

/** Ends when the first request has arrived; for the bare Node, when it is ready. */
async function startOnce(
  name: string,
  folder: string,
  environment: Readonly<Record<string, string>>,
  silent: SilentServer,
): Promise<Start> {
  const event = name === "bare" ? {} : eventFor(name as FunctionName);
  const command = [process.execPath, "-e", runner, join(folder, name, "index.js"), JSON.stringify(event)];
  if (pinning === "pinned") command.unshift("taskset", "-c", String(serverCore));
  const [program = "", ...parameters] = command;
  const arrived = silent.nextRequest();
  const begun = performance.now();
  const child = spawn(program, parameters, {
    env: { ...environment, LAMBDA_TASK_ROOT: join(folder, name) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const line = await new Promise<string>((resolve) =>
    child.stdout?.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  const ready = performance.now() - begun;
  const firstRequest = name === "bare" ? ready : (await arrived) - begun;
  child.kill("SIGKILL");
  await ended;
  const inside = JSON.parse(line.split("\n")[0] ?? "{}") as Pick<Start, "importing" | "processor">;
  return { ready, firstRequest, ...inside };
}

interface SilentServer {
  readonly url: string;
  readonly server: Server;
  /** When the next request arrives. */
  nextRequest(): Promise<number>;
}

async function startSilentServer(): Promise<SilentServer> {
  let tell: ((at: number) => void) | undefined;
  const server = createServer(() => tell?.(performance.now()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    nextRequest: () =>
      new Promise((resolve) => {
        tell = resolve;
      }),
  };
}

// -------------------------------------------------------------------------------------- what it is given

async function writeBare(folder: string): Promise<void> {
  await mkdir(join(folder, "bare"));
  await writeFile(join(folder, "bare", "index.js"), "exports.handler = async () => undefined;");
}

async function prepare(folder: string, url: string): Promise<Readonly<Record<string, string>>> {
  const config = `
github: { appId: 1, server: "${url}" }
presets: { linux: { architecture: x86_64, compute: ec2, instanceTypes: [m7i.large] } }
`;
  const { loaded } = checkConfig(config, { path: "mayfly.yaml", environment: {} });
  if (loaded === undefined) throw new Error("The configuration of this bench is not valid.");
  const policy = JSON.stringify(policyDocument(loaded, "0.0.0"));
  const names = ["webhook", "scaleup", "claim", "lifecycle", "rebalancer", "scaledown", "status"];
  for (const name of names) await writeFile(join(folder, name, "policy.json"), policy);
  return {
    AWS_REGION: "eu-west-1",
    AWS_ACCESS_KEY_ID: "stand-in",
    AWS_SECRET_ACCESS_KEY: "stand-in",
    AWS_ENDPOINT_URL: url,
    MAYFLY_DEPLOYMENT: "bench",
    MAYFLY_TABLE: "bench",
    MAYFLY_SCALEUP_QUEUE_URL: `${url}/scaleup`,
    MAYFLY_SCALEDOWN_QUEUE_URL: `${url}/scaledown`,
    MAYFLY_LIFECYCLE_QUEUE_URL: `${url}/lifecycle`,
    MAYFLY_WEBHOOK_SECRET_ID: "webhook-secret",
    MAYFLY_APP_PRIVATE_KEY_SECRET_ID: "app-private-key",
    MAYFLY_STATUS_TOKEN_SECRET_ID: "status-token",
    MAYFLY_MACHINE_ROLE_ARN: "arn:aws:iam::123456789012:role/machine",
    MAYFLY_SUBNETS: "{}",
  };
}

/** An event for which the function asks AWS for something. */
function eventFor(name: FunctionName): unknown {
  const http = (method: string, path: string, headers: object, iam?: object): unknown => ({
    rawPath: path,
    rawQueryString: "",
    headers,
    body: "{}",
    requestContext: { stage: "$default", http: { method }, ...(iam && { authorizer: { iam } }) },
  });
  const messages = (...bodies: readonly unknown[]): unknown => ({
    Records: bodies.map((body, index) => ({
      messageId: String(index),
      receiptHandle: "receipt",
      body: JSON.stringify(body),
    })),
  });
  switch (name) {
    case "webhook":
      return http("POST", "/webhook", { "x-hub-signature-256": `sha256=${"0".repeat(64)}` });
    case "claim":
      return http(
        "POST",
        "/v1/machines/ec2/i-1/claim",
        {},
        {
          userArn: "arn:aws:sts::123456789012:assumed-role/machine/i-1",
        },
      );
    case "status":
      return http("GET", "/api/status", { authorization: "Bearer token" });
    case "lifecycle":
      return messages({ kind: "cloud", compute: "ec2", providerId: "i-1", what: "gone", at: 0 });
    case "scaleup":
      return messages({ stage: "scaleup", fleet: "linux" });
    case "scaledown":
      return messages({ stage: "scaledown", fleet: "linux" });
    case "rebalancer":
      return {};
  }
}
