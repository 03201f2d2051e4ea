import { access, constants, statfs } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { createSystemClock } from "../../adapters/clock/system.ts";
import type { Config } from "../../config/config.ts";
import { readEnvironmentVariable } from "../../config/load.ts";
import type { Finding } from "../../core/diagnosis.ts";
import type { Log } from "../../ports/log.ts";
import { examineGithub } from "../doctor/github.ts";
import { look, type Trouble, trouble } from "../doctor/look.ts";
import { resolveUser } from "./user.ts";
import { createBoxComputes, secretsOf } from "./wiring.ts";

/** Databases and machines' folders; less than this is soon full. */
const freeBytesWanted = 2 * 1024 ** 3;

/**
 * Looks at everything that a box needs for its first job and changes nothing: secrets, GitHub App, its deliveries,
 * the data directory and where machines run. One thing that cannot be looked at does not hide the others.
 */
export async function examineBox(
  config: Config,
  options: { readonly version: string; readonly log: Log },
): Promise<readonly Finding[]> {
  const findings = [
    ...(await examineSecrets(config, options.log)),
    ...(await examineApp(config, options)),
    await examineDataDirectory(config.server.dataDirectory),
    ...(await examineComputes(config, options.log)),
  ];
  return findings;
}

async function examineSecrets(config: Config, log: Log): Promise<readonly Finding[]> {
  const secrets = secretsOf(config, log);
  const names = ["webhook-secret", "app-private-key", "status-token"] as const;
  const wanted = names.filter((name) => name !== "status-token" || config.secrets.statusToken !== undefined);
  return Promise.all(
    wanted.map((name) =>
      look(`secret ${name}`, async () => {
        await secrets.read(name);
        return "It is there.";
      }),
    ),
  );
}

function examineApp(
  config: Config,
  { version, log }: { readonly version: string; readonly log: Log },
): Promise<readonly Finding[]> {
  const { github, server } = config;
  const secrets = secretsOf(config, log);
  const clock = createSystemClock();
  const { server: address, apiUrl, appId, scope } = github;
  const options = {
    server: address,
    ...(apiUrl !== undefined && { apiUrl }),
    appId,
    secrets,
    clock,
    log,
    version,
  };
  return examineGithub(options, { scope, publicUrl: server.publicUrl });
}

async function examineDataDirectory(path: string): Promise<Finding> {
  const about = "data directory";
  return look(about, async () => {
    // One that is not there yet is made in the nearest folder that is.
    let folder = path;
    while (!(await can(folder, constants.F_OK)) && dirname(folder) !== folder) folder = dirname(folder);
    if (!(await can(folder, constants.W_OK))) {
      return trouble(`${folder} cannot be written by this user.`, "Make the user who runs Mayfly its owner.");
    }
    const { bavail, bsize } = await statfs(folder);
    const gib = ((bavail * bsize) / 1024 ** 3).toFixed(1);
    if (bavail * bsize < freeBytesWanted) {
      return trouble(
        `${folder} has ${gib} GiB left.`,
        "Make room: a server whose disk is full accepts no job.",
      );
    }
    return `${path} can be written and has ${gib} GiB left.`;
  });
}

async function examineComputes(config: Config, log: Log): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const presets = Object.entries(config.compute);
  for (const [name, { compute, local }] of presets) {
    if (compute !== "local") continue;
    findings.push(
      await look(`preset ${name}`, async () => {
        if (local.user !== undefined) resolveUser(local.user);
        const found = (await runnerTrouble(local.runnerDirectory)) ?? (await programTrouble("curl"));
        return found ?? "Its runner, its user and curl are there.";
      }),
    );
  }
  if (presets.some(([, { compute }]) => compute === "docker")) {
    findings.push(
      await look("container engine", async () => {
        const docker = createBoxComputes(config, { log, clock: createSystemClock(), onGone: () => () => {} });
        try {
          const machines = await docker.get("docker")?.list();
          return `It answers, and has ${machines?.length ?? 0} machines.`;
        } finally {
          for (const compute of docker.values()) await compute.close();
        }
      }),
    );
  }
  return findings;
}

async function runnerTrouble(directory: string | undefined): Promise<Trouble | undefined> {
  const cure = "Unpack GitHub's runner there, as docs/start/box.md says under The runner.";
  if (directory === undefined) return trouble("It names no local.runnerDirectory.", "Name one.");
  const starts = [join(directory, "bin", "Runner.Listener"), join(directory, "run.sh")];
  for (const path of starts) if (await can(path, constants.X_OK)) return undefined;
  return trouble(`${directory} holds neither bin/Runner.Listener nor run.sh.`, cure);
}

async function programTrouble(name: string): Promise<Trouble | undefined> {
  const folders = (readEnvironmentVariable("PATH") ?? "").split(delimiter).filter((folder) => folder !== "");
  for (const folder of folders) if (await can(join(folder, name), constants.X_OK)) return undefined;
  return trouble(`${name} is not installed.`, `Install it: the agent of every machine needs it.`);
}

async function can(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
