import { randomBytes } from "node:crypto";
import { access, mkdir, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { apiUrlOf } from "../adapters/github/api-url.ts";
import { MayflyError } from "../core/errors.ts";
import { appManifest } from "./app-manifest.ts";
import { installationUrl, type RegisteredApp, startRegistration } from "./app-registration.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { renderFields } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface SetupGithubOptions {
  readonly server: string;
  readonly apiUrl?: string;
  readonly organization?: string;
  readonly scope: "organization" | "repository";
  readonly webhookUrl: string;
  readonly name: string;
  readonly folder: string;
  readonly port?: number;
  readonly json?: boolean;
}

/** What `mayfly setup github --json` prints when the App is made. Fields are only ever added. */
export interface SetupGithubDocument {
  readonly appId: number;
  readonly slug: string;
  readonly owner: string;
  readonly pageUrl: string;
  /** Where to say for which repositories it is installed. */
  readonly installUrl: string;
  readonly privateKeyFile: string;
  readonly webhookSecretFile: string;
  readonly statusTokenFile: string;
  /** Written where there was none; null where one exists, which is left as it is. */
  readonly configFile: string | null;
}

/** GitHub gives an hour from the first page to the exchange. */
const patienceMilliseconds = 3_600_000;

/** `mayfly setup github`: makes the GitHub App through a browser, and keeps its id, key and secret in files. */
export async function setupGithubCommand(options: SetupGithubOptions, terminal: Terminal): Promise<ExitCode> {
  if (options.scope === "organization" && options.organization === undefined) {
    throw new UsageError(
      "Runners of an organisation need an App of that organisation, and none was named.",
      "Name it with --organization, or use --scope repository for the repositories of your own account.",
    );
  }
  const files = filesIn(resolve(options.folder));
  await expectNone(files);
  const registration = await startRegistration({
    server: options.server,
    apiUrl: apiUrlOf(options.server, options.apiUrl),
    organization: options.organization,
    port: options.port ?? 0,
    manifest: (redirectUrl) =>
      appManifest({
        name: options.name,
        scope: options.scope,
        webhookUrl: options.webhookUrl,
        redirectUrl,
        homepageUrl: new URL(options.webhookUrl).origin,
      }),
    keep: (app) => writeSecrets(files, app),
  });
  terminal.note(
    `Open this address in a browser on this machine, within an hour:\n\n  ${registration.url}\n\n` +
      "From another machine, forward the port first: ssh -L <port>:127.0.0.1:<port> … (--port makes it one that you know).",
  );
  try {
    const app = await withinAnHour(registration.done);
    const isNew = await writeConfig(files, options, app);
    present(documentOf(app, files, isNew), options, terminal);
  } finally {
    await registration.close();
  }
  return exitCodes.ok;
}

function present(document: SetupGithubDocument, options: SetupGithubOptions, terminal: Terminal): void {
  if (options.json === true) {
    terminal.printJson(document);
    return;
  }
  const short = (path: string): string => relative(process.cwd(), path) || path;
  const fields = renderFields(
    [
      ["App", `${document.slug}, id ${document.appId}, of ${document.owner}`],
      ["page", document.pageUrl],
      ["private key", short(document.privateKeyFile)],
      ["webhook secret", short(document.webhookSecretFile)],
      ["status token", short(document.statusTokenFile)],
      ["config", document.configFile === null ? undefined : short(document.configFile)],
    ],
    terminal.screen,
  );
  const config =
    document.configFile === null
      ? `Set github.appId to ${document.appId} in your configuration, and its secrets to these files.`
      : `Look at ${short(document.configFile)}: its preset is one that you may want otherwise.`;
  terminal.print(
    `The App is made.\n\n${fields}\n\nNext: install it for the repositories that Mayfly is to serve: ${document.installUrl}\n${config}`,
  );
}

interface Files {
  readonly privateKey: string;
  readonly webhookSecret: string;
  readonly statusToken: string;
  readonly config: string;
}

function filesIn(folder: string): Files {
  return {
    privateKey: join(folder, "secrets", "app.private-key.pem"),
    webhookSecret: join(folder, "secrets", "webhook-secret"),
    statusToken: join(folder, "secrets", "status-token"),
    config: join(folder, "mayfly.yaml"),
  };
}

/** Secrets that exist belong to another App: they are never written over. Looked at before GitHub makes anything. */
async function expectNone(files: Files): Promise<void> {
  for (const path of [files.privateKey, files.webhookSecret]) {
    if (!(await exists(path))) continue;
    throw new MayflyError({
      kind: "operator",
      code: "SECRETS_EXIST",
      message: `${path} exists already: it belongs to an App that was made before.`,
      suggestion: "Choose another place with --folder, or move the file away.",
    });
  }
  await mkdir(resolve(files.privateKey, ".."), { recursive: true, mode: 0o700 });
}

async function writeSecrets(files: Files, app: RegisteredApp): Promise<void> {
  await writeNew(files.privateKey, app.privateKey.reveal(), 0o600);
  await writeNew(files.webhookSecret, `${app.webhookSecret.reveal()}\n`, 0o600);
  if (await exists(files.statusToken)) return;
  const token = randomBytes(32).toString("base64url");
  await writeNew(files.statusToken, `${token}\n`, 0o600);
}

async function writeConfig(files: Files, options: SetupGithubOptions, app: RegisteredApp): Promise<boolean> {
  if (await exists(files.config)) return false;
  const api = options.apiUrl === undefined ? "" : `  apiUrl: ${JSON.stringify(options.apiUrl)}\n`;
  const publicUrl = JSON.stringify(new URL(options.webhookUrl).origin);
  const text = `github:
  server: ${JSON.stringify(options.server)}
${api}  appId: ${app.id}
  scope: ${options.scope}

server:
  listen: 127.0.0.1:8085
  # GitHub reaches it at ${options.webhookUrl}. Machines elsewhere need this too:
  # publicUrl: ${publicUrl}

secrets:
  webhookSecret: { file: secrets/webhook-secret }
  appPrivateKey: { file: secrets/app.private-key.pem }
  statusToken: { file: secrets/status-token }

presets:
  linux-x64:
    labels: [linux, x64]
    architecture: x86_64
    compute: local
    local: { runnerDirectory: /opt/actions-runner }
    max: 4
`;
  await writeNew(files.config, text, 0o644);
  return true;
}

function documentOf(app: RegisteredApp, files: Files, isNew: boolean): SetupGithubDocument {
  return {
    appId: app.id,
    slug: app.slug,
    owner: app.owner,
    pageUrl: app.pageUrl,
    installUrl: installationUrl(app),
    privateKeyFile: files.privateKey,
    webhookSecretFile: files.webhookSecret,
    statusTokenFile: files.statusToken,
    configFile: isNew ? files.config : null,
  };
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  try {
    await writeFile(path, text, { mode, flag: "wx" });
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "SETUP_NOT_WRITTEN",
      message: `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion:
        "Make the folder writable. If the App exists already, make a new key and secret on its page.",
      cause: error,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function withinAnHour(done: Promise<RegisteredApp>): Promise<RegisteredApp> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new MayflyError({
          kind: "operator",
          code: "SETUP_TIMED_OUT",
          message: "Nobody finished in the browser within an hour, after which GitHub forgets the manifest.",
          suggestion: "Run the command again.",
        }),
      );
    }, patienceMilliseconds);
  });
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
