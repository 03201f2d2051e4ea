import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createBoxWorld, createKeys } from "./box-world.ts";
import { type Child, generatorCore, pinning, serverCore, startChild } from "./child.ts";
import { type Measure, median, number, type Print, type Result } from "./measure.ts";

const rounds = 3;
const loads = [
  { connections: 1, requests: 2_000 },
  { connections: 16, requests: 8_000 },
  { connections: 64, requests: 8_000 },
] as const;
const warmUpRequests = 2_000;

/**
 * Deliveries that are durable before they are answered, beside the limit and the peer. The servers take turns, each
 * started anew with an empty database, so that what else the machine does hits all of them alike.
 */
export const deliveries: Measure = {
  name: "deliveries",
  title: "Deliveries: verified, durable in SQLite (synchronous=FULL), then answered",
  async run(progress) {
    const hasPeer = installPeers(progress);
    const subjects: readonly Subject[] = [box, bare, ...(hasPeer ? [probot] : [])];
    const secret = "it is a secret to everybody";
    const count = warmUpRequests + loads.reduce((sum, { requests }) => sum + requests, 0);
    const generator = await startChild(
      new URL("./load-generator.ts", import.meta.url),
      { secret, path: "/webhook", count },
      generatorCore,
    );
    const samples: Sample[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const subject of subjects) {
        samples.push(...(await measureSubject(subject, secret, generator)));
        const last = samples.at(-1);
        progress(
          `round ${round}/${rounds} ${subject.name}: ${number(last?.perSecond ?? 0)}/s at 64 connections`,
        );
      }
    }
    await generator.stop();
    return summarize(subjects, samples, hasPeer);
  },
};

interface Subject {
  readonly name: string;
  start(secret: string): Promise<{ readonly child: Child; end(): Promise<void> }>;
}

interface Sample {
  readonly subject: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly p50Milliseconds: number;
  readonly p99Milliseconds: number;
}

const box: Subject = {
  name: "Mayfly",
  async start(secret) {
    // No machine is allowed: every delivery is recorded and pokes its fleet, which is looked at, and nothing starts.
    const world = await createBoxWorld({ machines: 0, secret });
    const options = { configPath: world.configPath, standIn: true };
    const child = await startChild(new URL("./box-server.ts", import.meta.url), options, serverCore);
    return {
      child,
      async end() {
        await child.stop();
        await world.remove();
      },
    };
  },
};

const bare: Subject = {
  name: "bare node:http",
  async start(secret) {
    const child = await startChild(new URL("./bare-server.ts", import.meta.url), { secret }, serverCore);
    return { child, end: () => child.stop() };
  },
};

const probot: Subject = {
  name: "probot",
  async start(secret) {
    const options = { secret, privateKey: createKeys().privateKey };
    const child = await startChild(new URL("./peers/probot-server.js", import.meta.url), options, serverCore);
    return { child, end: () => child.stop() };
  },
};

async function measureSubject(
  subject: Subject,
  secret: string,
  generator: Child,
): Promise<readonly Sample[]> {
  const { child, end } = await subject.start(secret);
  const port = child.greeting.port;
  let from = 0;
  const load = async (connections: number, count: number) => {
    const answer = await generator.ask({ kind: "load", port, connections, from, count });
    from += count;
    return { subject: subject.name, connections, ...answer } as unknown as Sample;
  };
  await load(16, warmUpRequests);
  const samples: Sample[] = [];
  for (const { connections, requests } of loads) samples.push(await load(connections, requests));
  await end();
  return samples;
}

function summarize(subjects: readonly Subject[], samples: readonly Sample[], hasPeer: boolean): Result {
  const values: Record<string, unknown>[] = [];
  const rows: string[][] = [];
  for (const { connections } of loads) {
    for (const { name } of subjects) {
      const own = samples.filter((sample) => sample.subject === name && sample.connections === connections);
      const bareOnes = samples.filter((one) => one.subject === bare.name && one.connections === connections);
      const perSecond = median(own.map((sample) => sample.perSecond));
      const p50 = median(own.map((sample) => sample.p50Milliseconds));
      const p99 = median(own.map((sample) => sample.p99Milliseconds));
      // Neighbours in time are compared, so that a slow minute of the machine is slow for both.
      const ratio = median(
        own.map((sample, at) => sample.perSecond / (bareOnes[at]?.perSecond ?? Number.NaN)),
      );
      values.push({ subject: name, connections, perSecond, p50, p99, ratio });
      rows.push([name, String(connections), number(perSecond), number(p50), number(p99), number(ratio)]);
    }
  }
  return {
    tables: [{ columns: ["server", "connections", "per second", "p50 ms", "p99 ms", "of bare"], rows }],
    notes: [
      `Medians of ${rounds} rounds in turn; server and generator ${pinning} to a core each.`,
      ...(hasPeer ? [] : ["probot could not be installed and was left out."]),
    ],
    values: { rounds, pinning, results: values },
  };
}

/** The peer is heavy, so it is no dependency of Mayfly; it is installed when it is wanted. */
function installPeers(progress: Print): boolean {
  const folder = fileURLToPath(new URL("./peers/", import.meta.url));
  if (existsSync(`${folder}node_modules/probot`)) return true;
  progress("installing probot in bench/peers");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "ignore" });
  if (status !== 0) progress("probot cannot be installed (npm ci failed); going on without it");
  return status === 0;
}
