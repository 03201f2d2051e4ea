#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type ExitCode, exitCodes, explainFailure, failureText } from "./failure.ts";
import { expectNode } from "./node-version.ts";
import { processTerminal, type Terminal, wantsColours } from "./terminal.ts";

/*
 * Declares every command and loads only the one that was asked for, so that a short command starts fast.
 * Contracts: docs/reference/cli-json.md.
 */

const exitCodeHelp = `
Exit codes: 0 it worked, 1 it failed or something is unhealthy, 2 the command line is wrong.
Environment: MAYFLY_URL, MAYFLY_CONFIG, MAYFLY_STATUS_TOKEN, NO_COLOR.`;

function createProgram(terminal: Terminal): Command {
  const program = new Command("mayfly")
    .description("Gives every GitHub Actions job a machine that was made for it and dies with it.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .addHelpText("after", exitCodeHelp)
    .showHelpAfterError("next:  See the same command with --help.")
    .configureOutput({ outputError: (text, write) => write(usageSentence(text)) })
    .exitOverride();
  const run = (action: () => Promise<ExitCode>): Promise<void> =>
    action().then((exitCode) => {
      process.exitCode = exitCode;
    });
  addServing(program, terminal, run);
  addReading(program, terminal, run);
  addRunners(program, terminal, run);
  addImages(program, terminal, run);
  addConfig(program, terminal, run);
  addClasses(program, terminal, run);
  addAws(program, terminal, run);
  addSetup(program, terminal, run);
  addDeveloping(program, terminal, run);
  return program;
}

type Run = (action: () => Promise<ExitCode>) => Promise<void>;

function addServing(program: Command, terminal: Terminal, run: Run): void {
  withConfig(program.command("serve"))
    .description("run the server until a signal ends it")
    .addOption(jsonOption("accepted for all commands; the log is JSON anyway"))
    .action((options) =>
      run(async () =>
        (await import("./serve.ts")).serveCommand({ ...options, version: version() }, terminal),
      ),
    );
  program
    .command("demo")
    .description("run a workflow on this machine against an emulated GitHub")
    .option("--workflow <file>", "a workflow file instead of the sample")
    .option("--jobs <number>", "how many jobs to run", positiveNumber, 12)
    .addOption(faultsOption())
    .option("--keep", "stay up for the page when all jobs have ended, until Ctrl-C")
    .addOption(jsonOption("the summary as one line of JSON on standard output"))
    .action((options) =>
      run(async () => (await import("./demo.ts")).demoCommand({ ...options, version: version() })),
    );
}

function addReading(program: Command, terminal: Terminal, run: Run): void {
  withServer(program.command("status"))
    .description("what runs, what waits and what it costs; exit code 1 when something needs an operator")
    .action((options) => run(async () => (await import("./status.ts")).statusCommand(options, terminal)));
  withServer(program.command("why"))
    .description("what happened to one job, what it waits for and what comes next")
    .argument("<job>", "the id of the job, or the address of its page at GitHub")
    .action((job, options) => run(async () => (await import("./why.ts")).whyCommand(job, options, terminal)));

  const jobs = program.command("jobs").description("the jobs that the server knows");
  withList(withServer(jobs.command("list")))
    .description("jobs that wait or run, or that ended lately")
    .action((options) =>
      run(async () => (await import("./jobs-list.ts")).jobsListCommand(options, terminal)),
    );
  withServer(jobs.command("show"))
    .description("the facts about one job")
    .argument("<job>", "the id of the job, or the address of its page at GitHub")
    .action((job, options) =>
      run(async () => (await import("./jobs-show.ts")).jobsShowCommand(job, options, terminal)),
    );
}

function addRunners(program: Command, terminal: Terminal, run: Run): void {
  const runners = program.command("runners").description("the machines that the server knows");
  withList(withServer(runners.command("list")))
    .description("machines that are alive, or that ended lately")
    .action((options) =>
      run(async () => (await import("./runners-list.ts")).runnersListCommand(options, terminal)),
    );
  withServer(runners.command("details"))
    .description("the facts about one machine")
    .argument("<id>", "the id of the machine")
    .action((id, options) =>
      run(async () => (await import("./runners-details.ts")).runnersDetailsCommand(id, options, terminal)),
    );
  withServer(runners.command("shell"))
    .description("a shell on one machine, where its preset allows that; --json: what would be run")
    .argument("<id>", "the id of the machine")
    .option("--deployment <name>", "the name of the deployment on AWS", "mayfly")
    .option("--region <region>", "its region (default: that of your AWS CLI)")
    .option("--command <program>", "what to run in a task or a container", "/bin/sh")
    .action((id, options) =>
      run(async () => (await import("./runners-shell.ts")).runnersShellCommand(id, options, terminal)),
    );
  withServer(runners.command("terminate"))
    .description("end one machine; a job that runs on it ends first")
    .argument("<id>", "the id of the machine")
    .option("--force", "end it now: the job that runs there is lost")
    .option("--yes", "do not ask whether that is meant")
    .action((id, options) =>
      run(async () =>
        (await import("./runners-terminate.ts")).runnersTerminateCommand(id, options, terminal),
      ),
    );
}

function addImages(program: Command, terminal: Terminal, run: Run): void {
  const images = program.command("images").description("the images that are built for presets that want it");
  withServer(images.command("list"))
    .description("images that were built or are being built, and what waits for them")
    .action((options) =>
      run(async () => (await import("./images-list.ts")).imagesListCommand(options, terminal)),
    );
  const order = (name: string, anew: boolean): Command =>
    withArchitecture(withServer(images.command(name)))
      .argument("<base>", "the image that it is made of, as presets and labels name it")
      .action((base, options) =>
        run(async () =>
          (await import("./images-build.ts")).imagesBuildCommand(base, { ...options, anew }, terminal),
        ),
      );
  order("build", false).description("build one now, where there is none that is fresh");
  order("rebuild", true).description("build a new one; the one that is there serves until then");
  withArchitecture(withServer(images.command("logs")))
    .description("the last lines of the last build")
    .argument("<base>", "the image that it is made of")
    .option("--lines <number>", "so many at most", positiveNumber, 100)
    .action((base, options) =>
      run(async () => (await import("./images-logs.ts")).imagesLogsCommand(base, options, terminal)),
    );
  addPrune(images, terminal, run);
}

function addPrune(images: Command, terminal: Terminal, run: Run): void {
  withConfig(images.command("prune"))
    .description("images of machines on AWS that nobody needs; nothing is deleted without --delete")
    .option("--deployment <name>", "whose images", "mayfly")
    .option("--older-than-days <number>", "younger ones stay", positiveNumber, 30)
    .option(
      "--keep <number>",
      "of each pipeline and processor, so many of the newest stay",
      positiveNumber,
      2,
    )
    .option("--delete", "delete them, and their snapshots")
    .option("--yes", "do not ask whether that is meant")
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./images-prune.ts")).imagesPruneCommand(options, terminal)),
    );
}

function addConfig(program: Command, terminal: Terminal, run: Run): void {
  withConfig(program.command("doctor"))
    .description("look at all that the first job needs, and say how to cure what is wrong; changes nothing")
    .option("--deployment <name>", "on AWS: the name that everything begins with", "mayfly")
    .option("--stack <name>", "on AWS: the stack of CloudFormation (default: called as the deployment)")
    .addOption(jsonOption())
    .action((options) =>
      run(async () =>
        (await import("./doctor.ts")).doctorCommand({ ...options, version: version() }, terminal),
      ),
    );
  const config = program.command("config").description("the configuration");
  withConfig(config.command("check"))
    .description("list every problem of the configuration, with its line")
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./config-check.ts")).configCheckCommand(options, terminal)),
    );
  withConfig(config.command("explain"))
    .description("which preset and options a job with these labels gets, and why the others do not match")
    .argument("<labels...>", "the labels of runs-on, each as a word of its own")
    .addOption(jsonOption())
    .action((labels, options) =>
      run(async () => (await import("./config-explain.ts")).configExplainCommand(labels, options, terminal)),
    );
}

function addClasses(program: Command, terminal: Terminal, run: Run): void {
  withConfig(program.command("classes"))
    .description("the sizes that jobs name with class:<name>, and what they cost")
    .addOption(jsonOption())
    .action((options) => run(async () => (await import("./classes.ts")).classesCommand(options, terminal)));
}

function addSetup(program: Command, terminal: Terminal, run: Run): void {
  const setup = program.command("setup").description("what has to be there before the first job");
  setup
    .command("github")
    .description("make the GitHub App in a browser, and keep its id, key and secret in files")
    .requiredOption(
      "--webhook-url <url>",
      "where GitHub sends deliveries: https://<your host>/webhook",
      webUrl,
    )
    .option("--organization <name>", "the organisation that the App belongs to")
    .addOption(
      new Option("--scope <scope>", "where runners are registered")
        .choices(["organization", "repository"])
        .default("organization"),
    )
    .option("--server <url>", "the GitHub server", webUrl, "https://github.com")
    .option("--api-url <url>", "its REST API, where it is not at the usual place", webUrl)
    .option("--name <name>", "the name of the App, which nobody else on the server may have", "mayfly")
    .option("--folder <path>", "where the files go", ".")
    .option("--port <number>", "where the browser is waited for (default: any free one)", portNumber)
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./setup-github.ts")).setupGithubCommand(options, terminal)),
    );
  withConfig(setup.command("aws"))
    .description("ask what has to be decided, write the configuration, and print the commands that deploy it")
    .option("--region <name>", "the region, for example eu-west-1")
    .option("--app-id <id>", "the id of the GitHub App (default: that of the configuration that is there)")
    .option("--presets <names>", "kinds of runners, with commas: linux-x64, linux-arm64, fargate")
    .option("--machines <number>", "how many at once", positiveNumber)
    .option("--daily-budget <dollars>", "what a day may cost; 0: no limit")
    .addOption(
      new Option("--with <tool>", "how it is deployed").choices(["cloudformation", "terraform", "cdk"]),
    )
    .option("--vpc <id>", "the VPC of the machines, `default`, or `new` with cdk")
    .option("--subnets <list>", "one for each zone: <zone>=<subnet>, with commas")
    .option("--overwrite", "write over the configuration that is there")
    .option("--yes", "ask nothing: what was not given is as usual")
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./setup-aws.ts")).setupAwsCommand(options, terminal)),
    );
}

function addAws(program: Command, terminal: Terminal, run: Run): void {
  const aws = program.command("aws").description("Mayfly on AWS, as functions");
  withConfig(aws.command("package"))
    .description("check the configuration and write the functions with it, one folder each")
    .requiredOption("--out <folder>", "where to write them; what is there of an earlier time is replaced")
    .addOption(jsonOption())
    .action((options) =>
      run(async () =>
        (await import("./aws-package.ts")).awsPackageCommand({ ...options, version: version() }, terminal),
      ),
    );
  aws
    .command("redrive")
    .description(
      "look at the dead letters of the queues, or send them back; exit code 1 while there are some",
    )
    .option("--deployment <name>", "the name that the queues begin with", "mayfly")
    .addOption(new Option("--queue <name>", "only this one").choices(["scaleup", "scaledown", "lifecycle"]))
    .option("--limit <number>", "look at so many of each queue at most", positiveNumber, 100)
    .option("--send-back", "send them to their queue again; without it nothing is changed")
    .option("--yes", "do not ask whether that is meant")
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./aws-redrive.ts")).awsRedriveCommand(options, terminal)),
    );
}

function addDeveloping(program: Command, terminal: Terminal, run: Run): void {
  withConfig(program.command("receive"))
    .description("sign a saved delivery anew and send it to the server")
    .argument("<file>", "the body as JSON, or { headers, body }")
    .option("--event <name>", "the event, where the file does not say it")
    .addOption(urlOption())
    .addOption(jsonOption())
    .action((file, options) =>
      run(async () => (await import("./receive.ts")).receiveCommand(file, options, terminal)),
    );
  addSimulate(program, terminal, run);
  addTrace(program, terminal, run);
  const emulate = program.command("emulate").description("stand-ins for development");
  emulate
    .command("github")
    .description(
      "a GitHub on this machine, until Ctrl-C: App, runners, webhooks and jobs of real workflow files",
    )
    .option("--port <number>", "the port to listen on (default: any free one)", portNumber)
    .option("--webhook-url <url>", "where deliveries go", webUrl, "http://127.0.0.1:8085/webhook")
    .option("--folder <path>", "where the keys are written, to stay (default: a temporary folder)")
    .option("--repository <owner/name>", "the repository of the runs", "octo-org/demo")
    .option("--workflow <file>", "start a run of this workflow file")
    .addOption(faultsOption())
    .addOption(jsonOption())
    .action((options) =>
      run(async () => (await import("./emulate-github.ts")).emulateGithubCommand(options, terminal)),
    );
}

function addSimulate(program: Command, terminal: Terminal, run: Run): void {
  program
    .command("simulate")
    .description("the whole flow in virtual time, with faults drawn from seeds; exit code 1 on any violation")
    .option("--seeds <number>", "how many seeds to simulate (default: 100, or 1 with --seed)", positiveNumber)
    .option("--seed <seed>", "this seed, or the first of --seeds")
    .option(
      "--hours <number>",
      "how long things happen and go wrong, in each seed (default: 24)",
      positiveNumber,
    )
    .option("--jobs <number>", "so many jobs in each seed, with limits that grow with them", positiveNumber)
    .option("--workers <number>", "seeds at the same time (default: one for each core)", positiveNumber)
    .option("--verbose", "every event, on standard error; one seed at a time")
    .option("--trace <file>", "what if: replay these jobs instead, and say what they waited and cost")
    .option("--config <file>", "what if: with this configuration (default: MAYFLY_CONFIG, or mayfly.yaml)")
    .option("--against <file>", "what if: beside it, with this one")
    .option("--chart <file>", "what if: write machines and waiting jobs over time, as SVG")
    .option(
      "--boot-seconds <number>",
      "what if: from launch to claim (default: 25; on Fargate 45)",
      positiveNumber,
    )
    .option("--interruptions <percent>", "what if: spot machines taken back within an hour", percentage)
    .addOption(jsonOption("the summary as JSON"))
    .action((options) =>
      run(async () => {
        const { checkSimulateOptions, whatIfCommand } = await import("./what-if.ts");
        checkSimulateOptions(options);
        if (options.trace !== undefined) return whatIfCommand(options, terminal);
        return (await import("./simulate.ts")).simulateCommand(options, terminal);
      }),
    );
}

function addTrace(program: Command, terminal: Terminal, run: Run): void {
  const trace = program.command("trace").description("the jobs of the past, to replay them");
  withServer(trace.command("export"))
    .description("the jobs that ran lately, as JSON lines for `mayfly simulate --trace`")
    .option("--days <number>", "of so many last days", positiveNumber, 7)
    .option("--from-github", "from what GitHub remembers instead of the ledger, also of GitHub's own runners")
    .option("--repository <owner/name...>", "of these repositories only, with --from-github")
    .option("--output <file>", "into this file (default: standard output)")
    .action((options) =>
      run(async () =>
        (await import("./trace-export.ts")).traceExportCommand({ ...options, version: version() }, terminal),
      ),
    );
}

// --------------------------------------------------------------------------------------------- options

function withServer(command: Command): Command {
  return withConfig(command)
    .addOption(urlOption())
    .option("--token-file <file>", "the file with the status token (default: MAYFLY_STATUS_TOKEN)")
    .addOption(jsonOption());
}

function withArchitecture(command: Command): Command {
  return command.addOption(
    new Option("--architecture <name>", "where images are built for both").choices(["x86_64", "arm64"]),
  );
}

function withConfig(command: Command): Command {
  return command.option("--config <file>", "the configuration (default: MAYFLY_CONFIG, or mayfly.yaml)");
}

function withList(command: Command): Command {
  return command
    .addOption(new Option("--state <state>", "which ones").choices(["active", "recent"]).default("active"))
    .option("--limit <number>", "so many at most", positiveNumber);
}

function urlOption(): Option {
  return new Option(
    "--url <url>",
    "the server (default: MAYFLY_URL, or where the configuration lets it listen)",
  );
}

function jsonOption(description = "print the document as JSON"): Option {
  return new Option("--json", description);
}

function faultsOption(): Option {
  return new Option("--faults <how>", "what goes wrong, and how often")
    .choices(["none", "light", "heavy"])
    .default("none");
}

function positiveNumber(text: string): number {
  const number = Number(text);
  if (/^\d{1,7}$/.test(text) && number > 0) return number;
  throw new InvalidArgumentError("It must be a whole number above 0.");
}

function percentage(text: string): number {
  const number = Number(text);
  if (/^\d{1,2}(\.\d+)?$/.test(text) && number < 100) return number;
  throw new InvalidArgumentError("It must be a number from 0 to less than 100.");
}

function portNumber(text: string): number {
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number;
  throw new InvalidArgumentError("It must be a port, from 0 (any free one) to 65535.");
}

function webUrl(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError("It must be an address with http:// or https://.");
}

function version(): string {
  return ownPackage().version;
}

function ownPackage(): { readonly version: string; readonly engines: { readonly node: string } } {
  // The same two folders up from the sources and from what is built of them.
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
}

/** Commander's own words as sentences, with its suggestion in the same line. */
function usageSentence(text: string): string {
  const suggested = text.trimEnd().replace(/\.?\n\((Did you mean .*\?)\)$/, ". $1");
  const sentence = suggested.replace(/^error: (\w)/, (_, letter: string) => `error: ${letter.toUpperCase()}`);
  return `${/[.?]$/.test(sentence) ? sentence : `${sentence}.`}\n`;
}

// ----------------------------------------------------------------------------------------- the process

/** A reader that has gone, as in `mayfly jobs list | head -1`, wants no more, which is no failure. A full disk is one. */
function endWhenNobodyReads(stream: NodeJS.WriteStream): void {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit();
    const text = failureText(
      `The output cannot be written: ${error.message}.`,
      "Make room where it goes, or send it elsewhere.",
      { colours: false },
    );
    if (stream !== process.stderr) process.stderr.write(`${text}\n`);
    process.exit(exitCodes.failed);
  });
}

async function main(): Promise<void> {
  endWhenNobodyReads(process.stdout);
  endWhenNobodyReads(process.stderr);
  try {
    expectNode(ownPackage().engines.node, process.versions.node);
    await createProgram(processTerminal()).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has written its sentence, or the help that was asked for.
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
      return;
    }
    const { text, exitCode } = explainFailure(error, { colours: wantsColours(process.stderr) });
    process.stderr.write(`${text}\n`);
    process.exitCode = exitCode;
  }
}

await main();
