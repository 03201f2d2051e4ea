import type { Instant } from "./model.ts";

/** One thing that was looked at before the first job, or after something went wrong. */
export interface Finding {
  /** What was looked at, for example `GitHub App permissions`. */
  readonly about: string;
  /** `problem`: jobs will not run. `warning`: some will not, or something cannot be told. `unknown`: it could not be looked at. */
  readonly verdict: "ok" | "warning" | "problem" | "unknown";
  readonly says: string;
  /** What to do; null when nothing is to be done. */
  readonly cure: string | null;
}

/** The GitHub App as GitHub describes it. */
export interface AppFacts {
  readonly slug: string;
  readonly permissions: Readonly<Record<string, string>>;
  readonly events: readonly string[];
  /** How far GitHub's clock is ahead of ours. GitHub gives whole seconds. */
  readonly clockAheadSeconds: number;
  readonly webhook: {
    /** Absent: the App has none. */
    readonly url: string | undefined;
    readonly hasSecret: boolean;
    readonly isJson: boolean;
    readonly verifiesTls: boolean;
  };
  readonly installations: readonly InstallationFacts[];
}

export interface InstallationFacts {
  readonly account: string;
  readonly suspended: boolean;
  readonly permissions: Readonly<Record<string, string>>;
}

export interface DeliveryFacts {
  readonly deliveredAt: Instant;
  readonly succeeded: boolean;
  readonly event: string;
}

/** What of the configuration the App is held against. */
export interface Expectations {
  readonly scope: "organization" | "repository";
  /** Where the server says that it is reached; absent where it does not say. */
  readonly publicUrl: string | undefined;
}

/** A token of the App is valid for ten minutes by GitHub's clock, and not before it was issued. */
const clockLimitSeconds = 30;

interface Permission {
  readonly name: string;
  readonly level: "read" | "write";
  /** Absent: no job runs without it. */
  readonly otherwise?: string;
}

/** What the App must be allowed. */
function permissionsFor(scope: Expectations["scope"]): readonly Permission[] {
  return [
    scope === "organization"
      ? { name: "organization_self_hosted_runners", level: "write" }
      : { name: "administration", level: "write" },
    { name: "actions", level: "read" },
    {
      name: "checks",
      level: "write",
      otherwise: "A job that is given up is said in the status, but not on its commit.",
    },
  ];
}

/** What is good and what is not about the App, its webhook and its installations; one finding for each. */
export function diagnoseApp(app: AppFacts, expected: Expectations): readonly Finding[] {
  return [
    clockFinding(app),
    eventFinding(app),
    ...permissionsFor(expected.scope).map((permission) => permissionFinding(app, permission)),
    webhookFinding(app, expected),
    ...installationFindings(app, expected),
  ];
}

/** How the last deliveries went. `deliveries` are those of the last hour. */
export function diagnoseDeliveries(deliveries: readonly DeliveryFacts[]): Finding {
  const about = "webhook deliveries";
  const ours = deliveries.filter(({ event }) => event === "workflow_job" || event === "ping");
  if (ours.length === 0) {
    return {
      about,
      verdict: "unknown",
      says: "GitHub has sent nothing within the last hour.",
      cure: "Run a workflow, or send a delivery again from the App's page under Advanced.",
    };
  }
  const failed = ours.filter(({ succeeded }) => !succeeded);
  if (failed.length === 0) return ok(about, `All ${ours.length} of the last hour arrived.`);
  const newest = ours.reduce((left, right) => (right.deliveredAt > left.deliveredAt ? right : left));
  return {
    about,
    verdict: newest.succeeded ? "warning" : "problem",
    says: `${failed.length} of ${ours.length} in the last hour failed${newest.succeeded ? ", not the last one" : ", also the last one"}.`,
    cure: "See what GitHub got as the answer, on the App's page under Advanced. Until then jobs are found by asking, up to a minute later.",
  };
}

function clockFinding({ clockAheadSeconds }: AppFacts): Finding {
  const about = "clock";
  const seconds = Math.abs(clockAheadSeconds);
  if (seconds <= clockLimitSeconds) return ok(about, "This clock and GitHub's agree.");
  return {
    about,
    verdict: "problem",
    says: `This clock is ${Math.round(seconds)} s ${clockAheadSeconds > 0 ? "behind" : "ahead of"} GitHub's.`,
    cure: "Set it by NTP: GitHub refuses an App whose clock is wrong.",
  };
}

function eventFinding({ events }: AppFacts): Finding {
  const about = "App: events";
  if (events.includes("workflow_job")) return ok(about, "It is told of workflow jobs.");
  return {
    about,
    verdict: "problem",
    says: "It is not subscribed to workflow jobs.",
    cure: "On the App's page, under Permissions & events, subscribe to Workflow job.",
  };
}

function permissionFinding(app: AppFacts, permission: Permission): Finding {
  const { name, level, otherwise } = permission;
  const about = `App: permission ${name}`;
  if (isGranted(app.permissions, permission)) return ok(about, `It has ${app.permissions[name]}.`);
  return {
    about,
    verdict: otherwise === undefined ? "problem" : "warning",
    says: `It has ${app.permissions[name] ?? "none"} and needs ${level}.${otherwise === undefined ? "" : ` ${otherwise}`}`,
    cure: "Change it on the App's page under Permissions & events; the owners of its installations then have to agree.",
  };
}

function isGranted(permissions: Readonly<Record<string, string>>, { name, level }: Permission): boolean {
  const granted = permissions[name];
  return granted === "write" || granted === "admin" || granted === level;
}

function webhookFinding({ webhook }: AppFacts, { publicUrl }: Expectations): Finding {
  const about = "App: webhook";
  const bad = (says: string, cure: string): Finding => ({ about, verdict: "problem", says, cure });
  if (webhook.url === undefined) {
    return bad("It has no address.", "Set it to https://<your host>/webhook on the App's page.");
  }
  if (!webhook.hasSecret) {
    return bad(
      "It has no secret, so every delivery is refused.",
      "Set the content of secrets.webhookSecret there.",
    );
  }
  if (!webhook.isJson) return bad("It does not send JSON.", "Choose application/json there.");
  if (publicUrl !== undefined && new URL(webhook.url).origin !== new URL(publicUrl).origin) {
    const says = `It goes to ${webhook.url}, and this server says that it is at ${publicUrl}.`;
    return { about, verdict: "warning", says, cure: "Correct the one that is wrong." };
  }
  if (!webhook.verifiesTls) {
    const says = `It goes to ${webhook.url} without looking at the certificate.`;
    return { about, verdict: "warning", says, cure: "Turn SSL verification on there." };
  }
  return ok(about, `It goes to ${webhook.url}.`);
}

function installationFindings(app: AppFacts, { scope }: Expectations): readonly Finding[] {
  const about = "App: installations";
  if (app.installations.length === 0) {
    const cure = "Install it on the organisation whose jobs are to run: Install App on the App's page.";
    return [{ about, verdict: "problem", says: "It is installed nowhere.", cure }];
  }
  return app.installations.map((installation) => {
    const about = `App: installation on ${installation.account}`;
    if (installation.suspended) {
      const cure = "Resume it in the settings of that account, under GitHub Apps.";
      return { about, verdict: "problem", says: "It is suspended.", cure };
    }
    const missing = permissionsFor(scope).filter(
      (permission) =>
        isGranted(app.permissions, permission) && !isGranted(installation.permissions, permission),
    );
    if (missing.length === 0) return ok(about, "It has what it needs.");
    const names = missing.map(({ name }) => name).join(", ");
    return {
      about,
      verdict: missing.some(({ otherwise }) => otherwise === undefined) ? "problem" : "warning",
      says: `Its owner has not agreed yet to: ${names}.`,
      cure: "The owner finds the request in the settings of that account, under GitHub Apps.",
    };
  });
}

function ok(about: string, says: string): Finding {
  return { about, verdict: "ok", says, cure: null };
}
