import { chmod, copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type BoxWorld, createBoxWorld, createKeys, freePort } from "./box-world.ts";
import { type Child, startChild } from "./child.ts";
import { type Measure, number, type Print, type Result } from "./measure.ts";

const jobs = 1_000;
const machines = 100;
const limitSeconds = 300;

/** Many jobs at once on real local machines, whose runner does nothing, against an emulated GitHub. */
export const burst: Measure = {
  name: "burst",
  title: "Burst: 1,000 jobs at once, at most 100 local machines with a runner that does nothing",
  async run(progress) {
    const keys = createKeys();
    const port = await freePort();
    const secret = "it is a secret to everybody";
    const webhook = { url: `http://127.0.0.1:${port}/webhook`, secret };
    const options = { appPublicKey: keys.publicKey, webhook };
    const github = await startChild(new URL("./github-server.ts", import.meta.url), options);
    const { url: githubUrl, appId } = github.greeting as { url: string; appId: number };
    const world = await createBoxWorld({ machines, port, secret, keys, githubUrl, appId });
    await putRunner(world);
    const box = await startChild(new URL("./box-server.ts", import.meta.url), {
      configPath: world.configPath,
      standIn: false,
    });
    try {
      return await measureBurst(github, box, progress);
    } finally {
      await box.stop();
      await github.stop();
      await world.remove();
    }
  },
};

async function putRunner({ folder }: BoxWorld): Promise<void> {
  const file = join(folder, "runner", "bin", "Runner.Listener");
  await mkdir(join(folder, "runner", "bin"), { recursive: true });
  await copyFile(new URL("./no-op-runner.sh", import.meta.url), file);
  await chmod(file, 0o755);
}

async function measureBurst(github: Child, box: Child, progress: Print): Promise<Result> {
  // The first round of the timers and the first token are not part of the burst.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await box.ask({ kind: "reset" });
  const begun = performance.now();
  await github.ask({ kind: "start", jobs });
  const jobsSeconds = await until(begun, async () => {
    const { completed, queued, in_progress } = await github.ask({ kind: "state" });
    progress(`${completed} of ${jobs} jobs done, ${in_progress} running, ${queued} queued`);
    return completed === jobs;
  });
  const wallSeconds = await until(begun, async () => (await box.ask({ kind: "ledger" })).alive === 0);
  const used = (await box.ask({ kind: "used" })) as unknown as Used;
  const { launched } = (await box.ask({ kind: "ledger" })) as { launched: number };
  if (launched !== jobs) throw new Error(`${launched} machines were launched for ${jobs} jobs.`);
  return summarize(used, { launched, jobsSeconds, wallSeconds });
}

interface Used {
  readonly cpuMilliseconds: number;
  readonly peakMemoryMib: number;
  readonly longestStallMilliseconds: number;
  readonly stallP99Milliseconds: number;
  readonly calls: Readonly<Record<string, number>>;
}

interface Course {
  readonly launched: number;
  readonly jobsSeconds: number;
  readonly wallSeconds: number;
}

function summarize(used: Used, course: Course): Result {
  const perJob = Object.entries(used.calls)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => [name, number(count / jobs)]);
  const cpuPerJobMilliseconds = used.cpuMilliseconds / jobs;
  const rows = [
    ["launches", number(course.launched)],
    ["until the last job was done, s", number(course.jobsSeconds)],
    ["until the last machine was gone, s", number(course.wallSeconds)],
    ["processor time of the control plane per job, ms", number(cpuPerJobMilliseconds)],
    ["peak memory of the control plane, MiB", number(used.peakMemoryMib)],
    ["event loop, longest stall, ms", number(used.longestStallMilliseconds)],
    ["event loop, p99 of the delay, ms", number(used.stallP99Milliseconds)],
  ];
  return {
    tables: [
      { columns: ["1,000 jobs", ""], rows },
      { columns: ["calls of", "per job"], rows: perJob },
    ],
    notes: [
      "The machines are real: the agent, its watcher and a runner of one shell script and curl. They share the processor with the control plane and the emulator, so the wall time says little; the processor time is that of the server process alone.",
    ],
    values: { jobs, machines, ...course, ...used, cpuPerJobMilliseconds },
  };
}

/** Seconds since `begun` at which `isDone` was true. */
async function until(begun: number, isDone: () => Promise<boolean>): Promise<number> {
  for (;;) {
    const done = await isDone();
    const seconds = (performance.now() - begun) / 1000;
    if (done) return seconds;
    if (seconds > limitSeconds) throw new Error(`The burst was not over after ${limitSeconds} s.`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
