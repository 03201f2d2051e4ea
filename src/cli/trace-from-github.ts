import { createSystemClock } from "../adapters/clock/system.ts";
import { createGithubJobHistory, type GithubJobHistory } from "../adapters/github/job-history.ts";
import { createFileSecrets } from "../adapters/secrets/files.ts";
import type { Config } from "../config/config.ts";
import { readEnvironmentVariable } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import { tracedEvent, traceRecord } from "../core/job-trace.ts";
import { fullName, type JobEvent } from "../core/model.ts";
import type { Clock } from "../ports/clock.ts";
import type { RepositoryAddress } from "../ports/github.ts";
import { durationText } from "./phrases.ts";
import { type Terminal, terminalLog } from "./terminal.ts";
import type { TracePart } from "./trace-export.ts";

export interface TraceFromGithubOptions {
  readonly config: Config;
  /** Our own, for the User-Agent. */
  readonly version: string;
  /** `owner/name`; none: every repository that the App is installed on. */
  readonly repositories: readonly string[];
  readonly from: number;
  readonly until: number;
  readonly terminal: Terminal;
}

/** So many runs are asked about at once. */
const runsAtOnce = 5;

/**
 * The jobs of all runs that were created within these instants, with the credentials of the App. One request for each
 * run; where the hourly limit is used up but for what a server needs, it waits until GitHub grants new ones. A
 * repository that GitHub does not show is left out, unless it was named.
 */
export async function* traceFromGithub(options: TraceFromGithubOptions): AsyncGenerator<TracePart> {
  const { from, until, terminal } = options;
  const clock = createSystemClock();
  const history = createHistory(options, clock);
  const patiently = createPatience(clock, terminal);
  const repositories = await chosenRepositories(history, options, patiently);
  for (const [index, repository] of repositories.entries()) {
    const about = fullName(repository);
    const runs = await patiently(() => history.listRuns(repository, from, until)).catch((error: unknown) => {
      if (options.repositories.length > 0 || !isRefusal(error)) throw error;
      terminal.note(`warning: ${about} is left out. ${error.message}`);
      return [];
    });
    yield { records: [], neverRan: 0, read: index / repositories.length, about };
    for (let start = 0; start < runs.length; start += runsAtOnce) {
      const some = runs.slice(start, start + runsAtOnce);
      const events = await Promise.all(
        some.map((run) => patiently(() => history.listCompletedJobs(repository, run))),
      );
      const part = (start + some.length) / runs.length;
      yield { ...partOf(events.flat()), read: (index + part) / repositories.length, about };
    }
  }
}

function isRefusal(error: unknown): error is MayflyError {
  return error instanceof MayflyError && (error.kind === "operator" || error.kind === "give-up");
}

function partOf(events: readonly JobEvent[]): Pick<TracePart, "records" | "neverRan"> {
  const jobs = events.map(tracedEvent).filter((job) => job !== undefined);
  return { records: jobs.map(traceRecord), neverRan: events.length - jobs.length };
}

function createHistory(
  { config, version, terminal }: TraceFromGithubOptions,
  clock: Clock,
): GithubJobHistory {
  const log = terminalLog(terminal);
  const { server, apiUrl, appId } = config.github;
  return createGithubJobHistory({
    server,
    ...(apiUrl !== undefined && { apiUrl }),
    appId,
    secrets: createFileSecrets({
      places: { "app-private-key": config.secrets.appPrivateKey },
      readEnvironment: readEnvironmentVariable,
      clock,
      log,
    }),
    clock,
    log,
    version,
  });
}

async function chosenRepositories(
  history: GithubJobHistory,
  { repositories }: TraceFromGithubOptions,
  patiently: Patience,
): Promise<readonly RepositoryAddress[]> {
  const { repositories: known } = await patiently(() => history.listRepositories());
  if (repositories.length === 0) return known;
  return repositories.map((name) => {
    const found = known.find((repository) => fullName(repository).toLowerCase() === name.toLowerCase());
    if (found !== undefined) return found;
    throw new MayflyError({
      kind: "operator",
      code: "REPOSITORY_NOT_INSTALLED",
      message: `The App is not installed on ${name}.`,
      suggestion: "Correct the name after --repository, or install the App on that repository.",
    });
  });
}

type Patience = <Result>(ask: () => Promise<Result>) => Promise<Result>;

const attempts = 5;
const pauseMilliseconds = 2_000;

/** Asks again when GitHub could not be reached, a few times, and when it wants a pause, as often as it wants one. */
function createPatience(clock: Clock, terminal: Terminal): Patience {
  let saidUntil = 0;
  const pause = async (error: MayflyError): Promise<void> => {
    const until = Math.max(error.retryAt ?? 0, clock.now()) + 1_000;
    if (until > saidUntil) {
      saidUntil = until;
      const wait = durationText((until - clock.now()) / 1000);
      terminal.progress("");
      terminal.note(`note: ${error.message} It goes on by itself in ${wait}; Ctrl-C ends it.`);
    }
    await clock.sleep(until - clock.now());
  };
  return async (ask) => {
    for (let failures = 0; ; ) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof MayflyError)) throw error;
        if (error.kind === "wait") await pause(error);
        else {
          failures += 1;
          if (error.kind !== "retry" || failures === attempts) throw error;
          await clock.sleep(pauseMilliseconds * failures);
        }
      }
    }
  };
}
