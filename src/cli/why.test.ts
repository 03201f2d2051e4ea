import { expect, test } from "vitest";
import { interruptedWhy, now, waitingWhy } from "../../test/support/cli-scenes.ts";
import { renderWhy } from "./why.ts";

const screen = { colours: false, now };

test("a job that lost its first machine", () => {
  expect(renderWhy(interruptedWhy(), screen)).toMatchInlineSnapshot(`
    "The job ran and ended: success.

    CI / build in acme/app, job 1001
    https://github.com/acme/app/actions/runs/5001/job/1001
    labels self-hosted, linux, x64; fleet fleet-a

    TIME (UTC)            AFTER  WHAT HAPPENED
    2025-12-31 23:59:59          GitHub created the job
    2026-01-01 00:00:00    +1 s  Mayfly heard of it
    2026-01-01 00:00:00  +0.1 s  it was counted as demand of fleet fleet-a
    2026-01-01 00:00:08  +7.9 s  machine mayfly-1 was told that it will be taken back
    2026-01-01 00:00:09    +1 s  machine mayfly-1 retired: interrupted. The provider took it back.
    2026-01-01 00:00:20   +11 s  the job started on mayfly-2
    2026-01-01 00:00:29    +9 s  the job ended: success

    ID        STATE               PRESET     COMPUTE  JOB    AGE   COST  ENDED     DETAIL
    mayfly-1  ended: interrupted  linux-x64  memory         10 s  $0.00  20 s ago  The provider took it back.
    mayfly-2  ended: completed    linux-x64  memory   1001  30 s  $0.00  now"
  `);
});

test("a job that waits, and when it is tried again", () => {
  expect(renderWhy(waitingWhy(), screen)).toMatchInlineSnapshot(`
    "The job has been queued for 31 s. Every pool refuses: InsufficientInstanceCapacity.

    CI / build in acme/app, job 1001
    https://github.com/acme/app/actions/runs/5001/job/1001
    labels self-hosted, linux, x64; fleet fleet-a

    TIME (UTC)            AFTER  WHAT HAPPENED
    2025-12-31 23:59:59          GitHub created the job
    2026-01-01 00:00:00    +1 s  Mayfly heard of it
    2026-01-01 00:00:00  +0.1 s  it was counted as demand of fleet fleet-a

    Next (in 1 min 15 s, at 2026-01-01 00:01:45 UTC): A machine is asked for again."
  `);
});

test("colours mark the verdict, and only where they are wanted", () => {
  expect(renderWhy(interruptedWhy(), { ...screen, colours: true })).toContain(
    "\u001b[32mThe job ran and ended",
  );
  expect(renderWhy(interruptedWhy(), screen)).not.toContain("\u001b");
});
