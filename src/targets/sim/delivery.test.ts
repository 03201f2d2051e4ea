import { expect, it } from "vitest";
import { createSeededRandom } from "../../adapters/random/seeded.ts";
import { Secret } from "../../core/secret.ts";
import { judgeDelivery } from "../../core/webhook.ts";
import { GithubModel } from "../../emulator/model.ts";
import { noFaults } from "../../emulator/model-faults.ts";
import { plannedJob } from "../../emulator/planned-job.ts";
import { webhookHeaders, webhookPayload } from "../../emulator/webhook-payload.ts";
import { deliveredEvent, signedDelivery } from "./delivery.ts";

const start = Date.UTC(2026, 0, 1);
const secret = "a webhook secret";

it("a delivery says all that is read of it when it is sent whole", () => {
  const model = new GithubModel({ random: createSeededRandom("deliveries"), faults: noFaults });
  const repository = model.addRepository(start, { owner: "acme", name: "app", private: true });
  model.addInstallation(start, { account: "acme" });
  model.startRun(start, {
    repositoryId: repository.id,
    workflowName: "CI",
    workflowPath: ".github/workflows/ci.yml",
    jobs: [plannedJob({ labels: ["self-hosted", "linux"] })],
  });
  model.advance(start + 60_000);
  const runner = model.registerRunner(
    start + 60_000,
    { kind: "repository", owner: "acme", name: "app" },
    { name: "m-1", runnerGroupId: 1, labels: ["self-hosted", "linux"] },
  );
  model.connectRunner(start + 61_000, runner.id);
  const [job] = [...model.state.jobs.values()];
  model.pickUpJob(start + 65_000, runner.id, job?.id ?? 0);
  model.finishJob(start + 95_000, runner.id, job?.id ?? 0, "failure");
  model.advance(start + 200_000);

  const { state } = model;
  const source = { state, addresses: { api: "https://api.github.com", web: "https://github.com" } };
  const deliveries = [...state.deliveries.values()].filter(({ event }) => event.name === "workflow_job");
  const verdicts = deliveries.map((delivery) => {
    const body = Buffer.from(JSON.stringify(webhookPayload(source, delivery)));
    const whole = { headers: webhookHeaders(source, delivery, body, secret), body };
    const verdict = judgeDelivery(whole, [new Secret(secret)], start);
    expect(judgeDelivery(signedDelivery(state, delivery, secret), [new Secret(secret)], start)).toEqual(
      verdict,
    );
    if (verdict.kind !== "accepted") return verdict.kind;
    expect(deliveredEvent(state, delivery, start)).toEqual(verdict.event);
    return verdict.event.action;
  });
  expect(verdicts).toEqual(["queued", "in_progress", "completed"]);
});
