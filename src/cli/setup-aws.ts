import { writeFile } from "node:fs/promises";
import { processEnvironment } from "../config/environment.ts";
import { checkConfig, checkConfigFile } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import { type Asker, createAsker } from "./asker.ts";
import {
  type AwsNetwork,
  type AwsWay,
  awsWays,
  type NextCommand,
  nextCommands,
  rolesOf,
} from "./aws-commands.ts";
import {
  type AwsPresetName,
  awsConfigText,
  awsPresetNames,
  type GithubSection,
  presetSays,
} from "./aws-config-text.ts";
import { configPath } from "./connection.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { type AccountView, viewAccount } from "./setup-aws-account.ts";
import { paint, type Screen, type Terminal } from "./terminal.ts";

export interface SetupAwsOptions {
  readonly config?: string;
  readonly region?: string;
  readonly appId?: string;
  readonly presets?: string;
  readonly machines?: number;
  readonly dailyBudget?: string;
  readonly with?: AwsWay;
  readonly vpc?: string;
  readonly subnets?: string;
  readonly overwrite?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** What `mayfly setup aws --json` prints. Fields are only ever added. */
export interface SetupAwsDocument {
  readonly configFile: string;
  readonly region: string;
  readonly way: AwsWay;
  /** Null where the account could not be read, or the network is made or looked up later. */
  readonly account: string | null;
  readonly vpcId: string | null;
  /** By zone. */
  readonly subnets: Readonly<Record<string, string>> | null;
  readonly presets: readonly string[];
  readonly commands: readonly NextCommand[];
}

/**
 * `mayfly setup aws`: asks what has to be decided, writes `mayfly.yaml`, and prints the commands that deploy it. Nothing is
 * changed on AWS; where there are credentials, the account is looked at for networks and for what is there already.
 */
export async function setupAwsCommand(options: SetupAwsOptions, terminal: Terminal): Promise<ExitCode> {
  const path = configPath(options);
  const before = await githubBefore(path);
  const asker = createAsker(terminal, { takesUsual: options.yes === true });
  const choice = await askAll(options, asker, { before: before?.github, terminal });
  const text = awsConfigText(choice);
  const { problems } = checkConfig(text, { path, environment: {} });
  if (problems.length > 0) throw new Error(`The document that was made is wrong: ${problems[0]?.sentence}`);
  await mayWrite(path, before !== undefined, options, terminal);
  await write(path, text);
  const { region, way, network, presets, view } = choice;
  const commands = nextCommands({
    ...{ region, way, network, presets, configFile: path },
    ...(view !== undefined && { account: view.account }),
    secretsThere: view?.secrets ?? [],
    rolesThere: view?.roles ?? [],
  });
  const chosen = network === undefined || network === "new" ? undefined : network;
  const document: SetupAwsDocument = {
    ...{ configFile: path, region, way, presets, commands },
    account: view?.account ?? null,
    vpcId: chosen?.vpcId ?? null,
    subnets: chosen?.subnets ?? null,
  };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderSetup(document, terminal.screen));
  return exitCodes.ok;
}

interface Choice {
  readonly region: string;
  readonly view: AccountView | undefined;
  readonly github: GithubSection;
  readonly presets: readonly AwsPresetName[];
  readonly machines: number;
  readonly dailyBudgetUsd: number;
  readonly way: AwsWay;
  readonly network: AwsNetwork;
}

async function askAll(
  options: SetupAwsOptions,
  asker: Asker,
  { before, terminal }: { readonly before: GithubSection | undefined; readonly terminal: Terminal },
): Promise<Choice> {
  const { AWS_REGION, AWS_DEFAULT_REGION } = processEnvironment();
  const region = await asker.ask({
    ...{ question: "Region", option: "--region", given: options.region },
    fallback: AWS_REGION || AWS_DEFAULT_REGION,
    read: readRegion,
  });
  const appId = await asker.ask({
    ...{ question: "Id of the GitHub App", option: "--app-id", given: options.appId },
    fallback: before === undefined ? undefined : String(before.appId),
    read: readAppId,
  });
  asker.say(awsPresetNames.map((name) => `  ${presetSays(name)}`).join("\n"));
  const presets = await asker.ask({
    ...{ question: "Kinds of runners", option: "--presets", given: options.presets },
    fallback: "linux-x64,linux-arm64",
    read: readPresets,
  });
  const machines = await asker.ask({
    ...{ question: "Machines at once", option: "--machines", given: options.machines?.toString() },
    fallback: "20",
    read: readMachines,
  });
  const dailyBudgetUsd = await asker.ask({
    ...{
      question: "US dollars a day at most (0: no limit)",
      option: "--daily-budget",
      given: options.dailyBudget,
    },
    fallback: "50",
    read: readBudget,
  });
  const way = await asker.ask({
    ...{ question: `Deployed with ${awsWays.join(", ")}`, option: "--with", given: options.with },
    fallback: "cloudformation",
    read: readWay,
  });
  const view = await viewAccount(region, Object.keys(rolesOf(presets)), terminal);
  const network = await askNetwork(options, asker, { view, way });
  const github = { ...(before ?? { server: "https://github.com", scope: "organization" }), appId } as const;
  return { region, view, github, presets, machines, dailyBudgetUsd, way, network };
}

// ------------------------------------------------------------------------------------------ the network

async function askNetwork(
  options: SetupAwsOptions,
  asker: Asker,
  { view, way }: { readonly view: AccountView | undefined; readonly way: AwsWay },
): Promise<AwsNetwork> {
  const given = options.vpc;
  if (view !== undefined) {
    const lines = view.vpcs.map(({ id, isDefault, name, range }) => {
      return `  ${id} ${range}${isDefault ? ", the default" : ""}${name === undefined ? "" : `, ${name}`}`;
    });
    asker.say([...lines, ...(way === "cdk" ? ["  new: one is made, without a NAT gateway"] : [])].join("\n"));
  }
  const usual = view?.vpcs.find(({ isDefault }) => isDefault)?.id;
  const vpc = await asker.ask({
    ...{ question: "VPC", option: "--vpc", given },
    fallback: usual ?? (way === "cdk" ? "new" : view === undefined ? "default" : view.vpcs[0]?.id),
    read: (text) => readVpc(text, { view, way }),
  });
  if (vpc === "new") return "new";
  const vpcId = vpc === "default" ? usual : vpc;
  if (vpcId === undefined) {
    if (options.subnets === undefined) return undefined;
    throw new UsageError("Subnets were named, and their VPC was not.", "Name it with --vpc.");
  }
  const known = await view?.subnetsOf(vpcId);
  const best = known && Object.entries(known.best).map(([zone, id]) => `${zone}=${id}`);
  if (best?.length === 0 && options.subnets === undefined) {
    throw new UsageError(
      `No subnet of ${vpcId} has a way to GitHub: a default route, and public addresses where that is an internet gateway.`,
      "Choose another VPC with --vpc, or make a subnet that has; with --with cdk, --vpc new makes a network.",
    );
  }
  const subnets = await asker.ask({
    ...{ question: "Subnets, one for each zone", option: "--subnets", given: options.subnets },
    fallback: best?.join(","),
    read: (text) => readSubnets(text, known?.zones),
  });
  return { vpcId, subnets };
}

function readVpc(
  text: string,
  { view, way }: { readonly view: AccountView | undefined; readonly way: AwsWay },
): string {
  if (text === "new") {
    if (way === "cdk") return text;
    throw new UsageError("Only the CDK makes a network.", "Name a VPC that exists, or deploy with cdk.");
  }
  if (text === "default" && (view === undefined || view.vpcs.some(({ isDefault }) => isDefault))) {
    if (way !== "cdk" || view !== undefined) return text;
    throw new UsageError("The CDK has to be told the VPC by its id.", "Name it, or `new`.");
  }
  const isThere = view === undefined || view.vpcs.some(({ id }) => id === text);
  if (/^vpc-[0-9a-f]{8,17}$/.test(text) && isThere) return text;
  throw new UsageError(
    `${text} is no VPC of this region.`,
    "Name one as vpc-…, `default`, or `new` with cdk.",
  );
}

function readSubnets(
  text: string,
  zones: ReadonlyMap<string, string> | undefined,
): Readonly<Record<string, string>> {
  const entries = words(text).map((word) => {
    const [, zone, id = ""] = /^(?:([a-z0-9-]+)=)?(subnet-[0-9a-f]{8,17})$/.exec(word) ?? [];
    const place = zone ?? zones?.get(id);
    if (place !== undefined && (zones === undefined || zones.get(id) === place)) return [place, id] as const;
    throw new UsageError(
      zones === undefined
        ? `${word} is not <zone>=<subnet>.`
        : `${word} is no subnet of this VPC, or is in another zone.`,
      "Write eu-west-1a=subnet-0123456789abcdef0, several with commas.",
    );
  });
  if (entries.length > 0) return Object.fromEntries(entries);
  throw new UsageError("No subnet was named.", "Name at least one.");
}

// ------------------------------------------------------------------------------------------- the answers

function readRegion(text: string): string {
  if (/^[a-z]{2}(-[a-z]+)+-\d$/.test(text)) return text;
  throw new UsageError(`${text} is no region.`, "Write it as eu-west-1.");
}

function readAppId(text: string): number | string {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  if (/^Iv[A-Za-z0-9.]{8,60}$/.test(text)) return text;
  throw new UsageError(
    `${text} is neither the id nor the client id of a GitHub App.`,
    "It stands on the App's page; `mayfly setup github` makes one.",
  );
}

function readPresets(text: string): readonly AwsPresetName[] {
  const names = words(text);
  const wrong = names.find((name) => !(awsPresetNames as readonly string[]).includes(name));
  const choices = `Choose from ${awsPresetNames.join(", ")}, several with commas.`;
  if (wrong !== undefined) throw new UsageError(`${wrong} is none of them.`, choices);
  if (names.length === 0) throw new UsageError("No kind was named.", choices);
  return awsPresetNames.filter((name) => names.includes(name));
}

function readMachines(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new UsageError(`${text} is no number of machines.`, "It is a whole number above 0.");
}

function readBudget(text: string): number {
  if (/^\d{1,7}(\.\d{1,2})?$/.test(text)) return Number(text);
  throw new UsageError(`${text} is no number of dollars.`, "It is a number such as 50, or 0 for no limit.");
}

function readWay(text: string): AwsWay {
  const way = awsWays.find((each) => each === text);
  if (way !== undefined) return way;
  throw new UsageError(`${text} is none of them.`, `Choose from ${awsWays.join(", ")}.`);
}

function words(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

// ------------------------------------------------------------------------------------------------ the file

/** The App of the configuration that is there: `mayfly setup github` writes one. Undefined: there is none. */
async function githubBefore(path: string): Promise<{ readonly github?: GithubSection } | undefined> {
  try {
    const { loaded } = await checkConfigFile({ path, environment: {} });
    return loaded === undefined ? {} : { github: loaded.config.github };
  } catch (error) {
    if (error instanceof MayflyError && error.code === "CONFIG_MISSING") return undefined;
    throw error;
  }
}

async function mayWrite(
  path: string,
  exists: boolean,
  options: SetupAwsOptions,
  terminal: Terminal,
): Promise<void> {
  if (!exists || options.overwrite === true) return;
  const asks = terminal.interactive && options.yes !== true;
  if (asks && (await terminal.confirm(`${path} exists. Write over it?`))) return;
  throw new UsageError(
    `${path} exists already, and is left as it is.`,
    "Add --overwrite, or name another place with --config.",
  );
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "SETUP_NOT_WRITTEN",
      message: `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion: "Make the folder writable, or name another place with --config.",
      cause: error,
    });
  }
}

function renderSetup({ configFile, commands }: SetupAwsDocument, screen: Screen): string {
  const steps = commands.map(({ what, command }) => `${paint(screen, "quiet", `# ${what}`)}\n${command}`);
  return `${configFile} is written. Next, in a checkout of Mayfly:\n\n${steps.join("\n\n")}`;
}
