import type { StatusDocument } from "../../core/status.ts";

/** The status document in Prometheus' text format 0.0.4. Names and units follow its conventions. */
export function metricsText(status: StatusDocument, counters: Readonly<Record<string, number>>): string {
  const lines: string[] = [];
  const family = (
    name: string,
    help: string,
    samples: readonly (readonly [Readonly<Record<string, string>>, number | null])[],
  ): void => {
    lines.push(`# HELP mayfly_${name} ${help}`, `# TYPE mayfly_${name} gauge`);
    for (const [labels, value] of samples) {
      if (value !== null) lines.push(`mayfly_${name}${labelText(labels)} ${value}`);
    }
  };
  const { jobs, machines, waits, cost } = status;
  family("up", "1 when nothing needs an operator.", [[{}, status.state === "ready" ? 1 : 0]]);
  family("jobs", "Jobs that have not ended, by state.", [
    [{ state: "waiting" }, jobs.waiting],
    [{ state: "queued" }, jobs.queued],
    [{ state: "running" }, jobs.running],
  ]);
  family("jobs_ended_last_hour", "Jobs that ended within the last hour, by outcome.", [
    [{ outcome: "completed" }, jobs.completedLastHour],
    [{ outcome: "failed" }, jobs.failedLastHour],
    [{ outcome: "given-up" }, jobs.givenUpLastHour],
    [{ outcome: "refused" }, jobs.refusedLastHour],
  ]);
  family(
    "machines",
    "Machines that have not ended, by state.",
    (["requested", "launched", "registered", "busy", "retiring"] as const).map((state) => [
      { state },
      machines[state],
    ]),
  );
  family("launch_failures_last_hour", "Launches that failed within the last hour.", [
    [{}, machines.launchFailuresLastHour],
  ]);
  family("wait_seconds", "From the creation of a job to its start, over the last hour.", [
    [{ quantile: "0.5" }, waits.p50Seconds],
    [{ quantile: "0.95" }, waits.p95Seconds],
    [{ quantile: "0.99" }, waits.p99Seconds],
  ]);
  family("github_wait_seconds", "GitHub's part of the wait: from the creation of a job to its delivery.", [
    [{ quantile: "0.5" }, waits.githubP50Seconds],
    [{ quantile: "0.95" }, waits.githubP95Seconds],
  ]);
  family("cost_today_dollars", "What machines have cost since midnight UTC.", [[{}, cost.todayUsd]]);
  family(
    "places_used",
    "Places taken in each limit.",
    Object.entries(counters).map(([counter, value]) => [{ counter }, value]),
  );
  family(
    "github_requests_remaining",
    "Requests left in GitHub's hourly budget.",
    status.github.map((budget) => [{ installation: String(budget.installationId) }, budget.remaining]),
  );
  return `${lines.join("\n")}\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return entries.length === 0 ? "" : `{${entries.join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
