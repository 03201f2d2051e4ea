import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { fargatePerHourUsd } from "../src/adapters/prices/fargate.ts";
import { githubHostedPriceUsd, hostedMinutes, typicalPricePerHourUsd } from "../src/core/cost.ts";
import { functions } from "../src/targets/aws/functions.ts";

/*
 * Writes the tables of docs/operating/costs.md: what was counted, times what it costs. Prices of machines are those of
 * src/core/cost.ts and src/adapters/prices/fargate.ts; everything else of AWS stands here, and nowhere else.
 */

/** US dollars, list prices of us-east-1, from memory in November 2026: to be checked against AWS's pages. */
const awsPricesUsd = {
  dynamoWriteUnit: 0.625e-6,
  dynamoReadUnit: 0.125e-6,
  sqsRequest: 0.4e-6,
  httpApiRequest: 1e-6,
  lambdaRequest: 0.2e-6,
  /** arm64. */
  lambdaGibSecond: 0.0000133334,
  logGb: 0.5,
  secretMonth: 0.4,
  secretRequest: 5e-6,
  alarmMonth: 0.1,
  diskGibMonth: 0.08,
  publicAddressHour: 0.005,
  natGatewayHour: 0.045,
};

/** What costs nothing each month, for every account and for ever. */
const freeMonthly = {
  sqsRequests: 1e6,
  lambdaRequests: 1e6,
  lambdaGibSeconds: 400_000,
  alarms: 10,
  logGb: 5,
};

/** What one job uses, from its delivery to the end of its machine. Counted by test/aws/cost.test.ts, but for the last two. */
export interface JobUse {
  readonly writeUnits: number;
  readonly readUnits: number;
  readonly messages: number;
  /** Three deliveries, the claim and three reports. */
  readonly requests: number;
  /** Starts of functions: at most one for each request and message. */
  readonly starts: number;
}

export const jobUse = {
  alone: { writeUnits: 92, readUnits: 16, messages: 10, requests: 7, starts: 17 },
  ofTwenty: { writeUnits: 63, readUnits: 18, messages: 10, requests: 7, starts: 8 },
} as const satisfies Readonly<Record<string, JobUse>>;

/** What is used while nothing happens. Counted by the same test. */
export const idleUse = { readUnitsOfRound: 5, readUnitsOfSweep: 0.5 };

/** Not measured: nothing has run on AWS yet. */
const assumed = {
  startSeconds: 0.1,
  startGib: 0.375,
  roundSeconds: 0.7,
  sweepSeconds: 0.4,
  logKbOfJob: 10,
  logMbOfIdleMonth: 16,
  bootMinutes: 1,
  diskGib: 50,
};

const hoursOfMonth = 730;
const requestsOfMessage = 3;
/** Lambda asks each queue five times at once, and waits up to 20 seconds for an answer. */
const pollers = 5;
const pollSeconds = 20;
const secretsReadEverySeconds = 300;

interface Line {
  readonly what: string;
  readonly usd: number;
  readonly afterFreeUsd: number;
}

/** What a job costs beside its machine. */
export function jobCostsUsd(use: JobUse): Readonly<Record<string, number>> {
  const prices = awsPricesUsd;
  return {
    DynamoDB: use.writeUnits * prices.dynamoWriteUnit + use.readUnits * prices.dynamoReadUnit,
    SQS: use.messages * requestsOfMessage * prices.sqsRequest,
    "HTTP API": use.requests * prices.httpApiRequest,
    [`Lambda, arm64, starts of ${assumed.startSeconds} s and ${assumed.startGib} GiB`]:
      use.starts * (prices.lambdaRequest + assumed.startSeconds * assumed.startGib * prices.lambdaGibSecond),
    [`logs, ${assumed.logKbOfJob} KB`]: (assumed.logKbOfJob / 1e6) * prices.logGb,
  };
}

/** What a month costs in which no job runs. `counts` are those of the deployment's description. */
export function idleLines(counts: TemplateCounts): readonly Line[] {
  const prices = awsPricesUsd;
  const rounds = timesOfMonth("rebalancer");
  const sweeps = timesOfMonth("scaledown");
  const gibSeconds =
    rounds * assumed.roundSeconds * gibOf("rebalancer") + sweeps * assumed.sweepSeconds * gibOf("scaledown");
  const polls = counts.polledQueues * pollers * ((hoursOfMonth * 3600) / pollSeconds);
  const readUnits = rounds * idleUse.readUnitsOfRound + sweeps * idleUse.readUnitsOfSweep;
  // Each of the two functions reads the App's key.
  const secretReads = 2 * ((hoursOfMonth * 3600) / secretsReadEverySeconds);
  const logGb = assumed.logMbOfIdleMonth / 1000;
  const secretsUsd = counts.secrets * prices.secretMonth + secretReads * prices.secretRequest;
  return [
    {
      what: `${count(rounds)} rounds of \`rebalancer\` (${assumed.roundSeconds} s), ${count(sweeps)} sweeps of \`scaledown\` (${assumed.sweepSeconds} s)`,
      usd: (rounds + sweeps) * prices.lambdaRequest + gibSeconds * prices.lambdaGibSecond,
      afterFreeUsd:
        beyond(rounds + sweeps, freeMonthly.lambdaRequests) * prices.lambdaRequest +
        beyond(gibSeconds, freeMonthly.lambdaGibSeconds) * prices.lambdaGibSecond,
    },
    same(`DynamoDB, ${count(readUnits)} read units`, readUnits * prices.dynamoReadUnit),
    {
      what: `SQS: Lambda asks ${counts.polledQueues} queues, ${pollers} times at once, each ${pollSeconds} seconds: ${count(polls)} requests`,
      usd: polls * prices.sqsRequest,
      afterFreeUsd: beyond(polls, freeMonthly.sqsRequests) * prices.sqsRequest,
    },
    same(`${counts.secrets} secrets, read every five minutes`, secretsUsd),
    {
      what: `${counts.alarms} alarms`,
      usd: counts.alarms * prices.alarmMonth,
      afterFreeUsd: beyond(counts.alarms, freeMonthly.alarms) * prices.alarmMonth,
    },
    {
      what: `logs, ${assumed.logMbOfIdleMonth} MB`,
      usd: logGb * prices.logGb,
      afterFreeUsd: beyond(logGb, freeMonthly.logGb) * prices.logGb,
    },
  ];
}

function same(what: string, usd: number): Line {
  return { what, usd, afterFreeUsd: usd };
}

function beyond(used: number, free: number): number {
  return Math.max(0, used - free);
}

function timesOfMonth(name: string): number {
  const triggers = functions.find((one) => one.name === name)?.triggers ?? [];
  const schedule = triggers.find(({ kind }) => kind === "schedule");
  if (schedule?.kind !== "schedule") throw new Error(`${name} has no schedule.`);
  return (hoursOfMonth * 3600) / schedule.everySeconds;
}

function gibOf(name: string): number {
  return (functions.find((one) => one.name === name)?.memoryMib ?? 0) / 1024;
}

/** What there is of each in a deployment without anything that is made only when it is asked for. */
export interface TemplateCounts {
  readonly alarms: number;
  readonly polledQueues: number;
  readonly secrets: number;
}

export async function countsOfTemplate(): Promise<TemplateCounts> {
  const file = new URL("../infra/aws/cloudformation/template.yaml", import.meta.url);
  const template = parse(await readFile(file, "utf8")) as {
    readonly Parameters: Readonly<Record<string, unknown>>;
    readonly Resources: Readonly<Record<string, { readonly Type: string; readonly Condition?: string }>>;
  };
  const made = Object.values(template.Resources).filter(({ Condition }) => Condition === undefined);
  const countOf = (type: string) => made.filter(({ Type }) => Type === type).length;
  return {
    alarms: countOf("AWS::CloudWatch::Alarm"),
    polledQueues: countOf("AWS::Lambda::EventSourceMapping"),
    secrets: Object.keys(template.Parameters).filter((name) => name.endsWith("SecretArn")).length,
  };
}

// ------------------------------------------------------------------------------------------------ machines

interface Kind {
  readonly name: string;
  /** Of a job that runs so many minutes, with all that belongs to it. */
  readonly jobUsd: (minutes: number) => number;
}

const size = { architecture: "x86_64", cpu: 2 } as const;

export const kinds = {
  hosted: {
    name: "GitHub-hosted, 2 vCPU",
    jobUsd: (minutes) => githubHostedPriceUsd(size, hostedMinutes(minutes * 60)),
  },
  spot: { name: "EC2 spot, 2 vCPU", jobUsd: ownJob(typicalPricePerHourUsd(size, "spot") + ofMachineHour()) },
  onDemand: {
    name: "EC2 on demand, 2 vCPU",
    jobUsd: ownJob(typicalPricePerHourUsd(size, "on-demand") + ofMachineHour()),
  },
  fargateSpot: {
    name: "Fargate spot, 2 vCPU, 4 GiB",
    jobUsd: ownJob(fargatePerHourUsd({ ...size, memoryGib: 4 }, "spot") + awsPricesUsd.publicAddressHour),
  },
  fargate: {
    name: "Fargate on demand, 2 vCPU, 4 GiB",
    jobUsd: ownJob(
      fargatePerHourUsd({ ...size, memoryGib: 4 }, "on-demand") + awsPricesUsd.publicAddressHour,
    ),
  },
} as const satisfies Readonly<Record<string, Kind>>;

/** Disk and address. */
function ofMachineHour(): number {
  return (assumed.diskGib * awsPricesUsd.diskGibMonth) / hoursOfMonth + awsPricesUsd.publicAddressHour;
}

function ownJob(perHourUsd: number): Kind["jobUsd"] {
  const control = sum(Object.values(jobCostsUsd(jobUse.alone)));
  return (minutes) => ((minutes + assumed.bootMinutes) / 60) * perHourUsd + control;
}

/** From how many jobs of so many minutes a month on own machines are cheaper; infinite when they never are. */
export function breakEvenJobs(kind: Kind, minutes: number, monthlyUsd: number): number {
  const saved = kinds.hosted.jobUsd(minutes) - kind.jobUsd(minutes);
  return saved <= 0 ? Number.POSITIVE_INFINITY : Math.ceil(monthlyUsd / saved);
}

// -------------------------------------------------------------------------------------------------- tables

/** The tables of the page, by the names of their places in it. */
export function costTables(counts: TemplateCounts): Readonly<Record<string, string>> {
  const idle = idleLines(counts);
  const idleUsd = sum(idle.map(({ usd }) => usd));
  return {
    use: table(["a job uses", "by itself", "of twenty at once"], useRows()),
    job: table(["dollars for 1,000 jobs", "by themselves", "of twenty at once"], jobRows()),
    idle: table(
      ["a month without jobs", "list price", "after what is always free"],
      [
        ...idle.map(({ what, usd, afterFreeUsd }) => [what, usd.toFixed(2), afterFreeUsd.toFixed(2)]),
        ["**together, dollars**", bold(idleUsd), bold(sum(idle.map(({ afterFreeUsd }) => afterFreeUsd)))],
      ],
    ),
    machines: table(
      ["dollars for a job of", "1 minute", "5 minutes", "30 minutes"],
      Object.values(kinds).map(({ name, jobUsd }) => [
        name,
        ...[1, 5, 30].map((minutes) => jobUsd(minutes).toFixed(4)),
      ]),
    ),
    breakEven: table(
      ["cheaper than GitHub-hosted from so many jobs a month", "1 minute", "5 minutes", "30 minutes"],
      breakEvenRows(idleUsd),
    ),
  };
}

function useRows(): readonly (readonly string[])[] {
  const row = (name: string, key: keyof JobUse) => [
    name,
    ...Object.values(jobUse).map((use) => String(use[key])),
  ];
  return [
    row("DynamoDB, write units", "writeUnits"),
    row("DynamoDB, read units", "readUnits"),
    row("SQS, messages", "messages"),
    row("HTTP API, requests", "requests"),
    row("starts of functions", "starts"),
  ];
}

function jobRows(): readonly (readonly string[])[] {
  const [alone, ofTwenty] = [jobCostsUsd(jobUse.alone), jobCostsUsd(jobUse.ofTwenty)];
  return [
    ...Object.keys(alone).map((name) => [
      name,
      ...[alone, ofTwenty].map((costs) => (1000 * (costs[name] ?? 0)).toFixed(3)),
    ]),
    ["**together**", ...[alone, ofTwenty].map((costs) => bold(1000 * sum(Object.values(costs))))],
  ];
}

function breakEvenRows(idleUsd: number): readonly (readonly string[])[] {
  const own = [kinds.spot, kinds.onDemand, kinds.fargateSpot];
  const nat = awsPricesUsd.natGatewayHour * hoursOfMonth;
  const row = (name: string, kind: Kind, monthlyUsd: number) => [
    name,
    ...[1, 5, 30].map((minutes) => {
      const jobs = breakEvenJobs(kind, minutes, monthlyUsd);
      return Number.isFinite(jobs) ? count(jobs) : "never";
    }),
  ];
  return [
    ...own.map((kind) => row(kind.name, kind, idleUsd)),
    row(`${kinds.spot.name}, behind a NAT gateway`, kinds.spot, idleUsd + nat),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|---|${"--:|".repeat(head.length - 1)}`, ...rows.map(line)].join("\n");
}

function bold(usd: number): string {
  return `**${usd.toFixed(2)}**`;
}

function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The page with its tables written anew, each between `<!-- costs: name -->` and `<!-- /costs -->`. */
export function withTables(page: string, tables: Readonly<Record<string, string>>): string {
  return page.replace(
    /(<!-- costs: (\w+) -->\n)(?:.|\n)*?(<!-- \/costs -->)/g,
    (_, begin: string, name: string, end: string) => {
      const made = tables[name];
      if (made === undefined) throw new Error(`There is no table ${name}.`);
      return `${begin}${made}\n${end}`;
    },
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = new URL("../docs/operating/costs.md", import.meta.url);
  const tables = costTables(await countsOfTemplate());
  await writeFile(file, withTables(await readFile(file, "utf8"), tables));
}
