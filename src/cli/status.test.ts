import { expect, test } from "vitest";
import { busyStatus, now, quietStatus } from "../../test/support/cli-scenes.ts";
import { renderStatus } from "./status.ts";

const screen = { colours: false, now };

test("a server with work", () => {
  expect(renderStatus(busyStatus(), screen)).toMatchInlineSnapshot(`
    "Mayfly 1.2.3 is ready.

    jobs        1 queued, 1 running, 1 held back by GitHub
    machines    1 alive: 1 busy
    last hour   no jobs completed (0 failed), 0 given up, 0 refused; 1 machine launched, 0 ended, 0 launches failed
    waits       p50 5 s, p95 5 s, p99 5 s (1 job); GitHub's part p50 1 s, p95 1 s
    cost today  $0.00; GitHub-hosted would be $0.0060, EC2 spot $0.0003
    GitHub      installation 7: 4,987 of 5,000 requests left, new ones in 10 min

    PRESET     COMPUTE  MACHINES  STATUS   LABELS
    linux-x64  memory     1 of 1  blocked  linux, x64

    Blocked:
      fleet-a: 1 job queued for 28 s. The preset linux-x64 has all of its 1 machines. Tried again in 12 s.

    ID    STATE    JOB                      REPOSITORY  WAITED  RUNS FOR  WAITS FOR, OR MACHINE
    1001  running  CI / build               acme/app       5 s      26 s  mayfly-1
    1002  waiting  CI / deploy              acme/app      31 s            GitHub holds it back: an approval or an environment rule is pending.
    1003  queued   CI / test (windows, 22)  acme/app      31 s            The preset linux-x64 has all of its 1 machines."
  `);
});

test("a server without work", () => {
  expect(renderStatus(quietStatus(), screen)).toMatchInlineSnapshot(`
    "Mayfly 1.2.3 is ready.

    jobs        0 queued, 0 running, 0 held back by GitHub
    machines    0 alive
    last hour   no jobs completed (0 failed), 0 given up, 0 refused; no machines launched, 0 ended, 0 launches failed
    cost today  $0.00; GitHub-hosted would be $0.00, EC2 spot $0.00
    GitHub      installation 7: 4,987 of 5,000 requests left, new ones in 10 min

    PRESET     COMPUTE  MACHINES  STATUS  LABELS
    linux-x64  memory     0 of 1  ready   linux, x64"
  `);
});

test("a problem makes the first line say so", () => {
  const status = { ...quietStatus(), state: "degraded" as const, problems: ["The disk is full."] };
  expect(renderStatus(status, screen).split("\n").slice(0, 2)).toEqual([
    "Mayfly 1.2.3 is degraded.",
    "  - The disk is full.",
  ]);
});

test("a long list of jobs is cut, and says where the rest is", () => {
  const status = busyStatus();
  const [first] = status.activeJobs;
  const many = { ...status, activeJobs: Array.from({ length: 14 }, () => first!) };
  expect(renderStatus(many, screen)).toContain("\n… and 4 more jobs: mayfly jobs list");
});
