import { expect, test } from "vitest";
import { job, machine } from "../../test/builders.ts";
import { now } from "../../test/support/cli-scenes.ts";
import type { Job } from "../core/model.ts";
import { jobStatus, machineStatus } from "../core/status.ts";
import { lossText } from "./runners-terminate.ts";

const busy = machineStatus(machine({ state: "busy", jobId: 1001 }), now);
const asStatus = (entry: Job) => jobStatus(entry, undefined, now);

test("what --force destroys is said by name", () => {
  expect(lossText(busy, asStatus(job({ state: "running" })))).toBe(
    "The job CI / build (acme/app, job 1001) runs on machine mayfly-1. It is lost: GitHub will call it failed, and it is not started again by itself.",
  );
});

test("a job that only claimed the machine is not called lost", () => {
  expect(lossText(busy, asStatus(job()))).toContain("was about to run the job CI / build");
  expect(lossText(machineStatus(machine(), now), undefined)).toBe(
    "No job is known to run on machine mayfly-1.",
  );
});
