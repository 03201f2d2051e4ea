import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Scope } from "../../src/core/model.ts";
import type { GithubModel } from "../../src/emulator/model.ts";
import { faultPresets, noFaults } from "../../src/emulator/model-faults.ts";
import type { Limits } from "../../src/emulator/model-limits.ts";
import { plannedJob } from "../../src/emulator/planned-job.ts";
import type { Github, MintRequest, RepositoryAddress } from "../../src/ports/github.ts";

/** One GitHub with one organisation in it, and the adapter that is looked at. */
export interface GithubHarness {
  readonly github: Github;
  readonly model: GithubModel;
  now(): number;
  /** Called after the scene was changed behind the adapter's back. */
  wake(): void;
  close(): Promise<void>;
}

export interface GithubScene {
  readonly limits?: Partial<Limits>;
  /** The App may not do more than this. */
  readonly permissions?: Readonly<Record<string, "read" | "write">>;
}

/** What every adapter of the GitHub port must do. `installationId` is the first installation of the model. */
export function describeGithub(
  name: string,
  makeHarness: (scene: GithubScene) => Promise<GithubHarness>,
): void {
  describe(`GitHub through ${name}`, () => {
    let harness: GithubHarness | undefined;
    let github: Github;
    let model: GithubModel;
    let repository: RepositoryAddress;
    let organization: Scope;

    const setUp = async (scene: GithubScene = {}): Promise<void> => {
      await harness?.close();
      harness = await makeHarness(scene);
      ({ github, model } = harness);
      const now = harness.now();
      model.addRepository(now, { owner: "acme", name: "app" });
      model.addRunnerGroup({ owner: "acme", name: "Large machines" });
      const { id: installationId } = model.addInstallation(now, {
        account: "acme",
        ...(scene.permissions !== undefined && { permissions: scene.permissions }),
      });
      organization = { kind: "organization", installationId, owner: "acme" };
      repository = { owner: "acme", name: "app", private: true, installationId };
    };
    const now = (): number => harness!.now();

    const request = (name: string, more: Partial<MintRequest> = {}): MintRequest => ({
      scope: organization,
      name,
      labels: ["self-hosted", "linux"],
      runnerGroup: "default",
      ...more,
    });
    const mint = async (name: string, more: Partial<MintRequest> = {}): Promise<number> => {
      const result = await github.mintRunner(request(name, more));
      if (result.kind !== "minted") throw new Error(`not minted: ${JSON.stringify(result)}`);
      return result.runnerId;
    };
    const startRun = (labels: readonly string[], more: { environment?: string; jobs?: number } = {}) => {
      const run = model.startRun(now(), {
        repositoryId: model.findRepository("acme", "app").id,
        workflowName: "CI",
        workflowPath: ".github/workflows/ci.yml",
        jobs: Array.from({ length: more.jobs ?? 1 }, (_, index) =>
          plannedJob({
            key: `build-${index}`,
            labels,
            ...(more.environment !== undefined && { environment: more.environment }),
          }),
        ),
      });
      harness!.wake();
      return { id: run.id, jobs: model.jobsOf(run, "all").map((job) => job.id) };
    };

    beforeEach(() => setUp());
    afterEach(async () => {
      await harness?.close();
      harness = undefined;
    });

    test("a minted runner is found by its name, listed, deleted, and then absent", async () => {
      const result = await github.mintRunner(request("m-1"));
      if (result.kind !== "minted") throw new Error("not minted");
      expect(result.jitConfig.reveal().length).toBeGreaterThan(100);
      const offline = { id: result.runnerId, name: "m-1", online: false, busy: false };
      expect(await github.findRunner(organization, "m-1")).toEqual(offline);
      expect(await github.findRunner(organization, "m-2")).toBeUndefined();
      expect(await github.listRunners(organization)).toEqual([offline]);
      expect(await github.deleteRunner(organization, result.runnerId)).toBe("deleted");
      expect(await github.deleteRunner(organization, result.runnerId)).toBe("absent");
      expect(await github.findRunner(organization, "m-1")).toBeUndefined();
      expect(await github.listRunners(organization)).toEqual([]);
    });

    test("a name is taken until its runner is deleted", async () => {
      const id = await mint("m-1");
      expect(await github.mintRunner(request("m-1"))).toEqual({ kind: "name-taken" });
      await github.deleteRunner(organization, id);
      expect(await mint("m-1")).not.toBe(id);
    });

    test("the fence refuses a runner that runs a job, and changes nothing", async () => {
      const { jobs } = startRun(["self-hosted"]);
      const id = await mint("m-1");
      model.connectRunner(now(), id);
      model.pickUpJob(now(), id, jobs[0]!);
      harness!.wake();
      expect(await github.deleteRunner(organization, id)).toBe("running-a-job");
      expect(await github.findRunner(organization, "m-1")).toMatchObject({ online: true, busy: true });
      model.finishJob(now(), id, jobs[0]!, "success");
      expect(await github.deleteRunner(organization, id)).toBe("absent");
    });

    test("a repository is a scope of its own", async () => {
      const scope: Scope = { ...organization, kind: "repository", name: "app" };
      const id = await mint("m-1", { scope });
      await mint("m-1");
      expect(await github.findRunner(scope, "m-1")).toMatchObject({ id });
      expect(await github.listRunners(scope)).toHaveLength(1);
      expect(await github.deleteRunner(organization, id)).toBe("absent");
      expect(await github.deleteRunner(scope, id)).toBe("deleted");
      expect(await github.mintRunner(request("m-2", { scope, runnerGroup: "Large machines" }))).toMatchObject(
        {
          kind: "refused",
          status: 422,
        },
      );
    });

    test("runner groups are named; one that is not there is a refusal", async () => {
      const id = await mint("m-1", { runnerGroup: "large MACHINES" });
      const group = model.listRunnerGroups("acme").find((entry) => entry.name === "Large machines");
      expect(model.state.runners.get(id)?.groupId).toBe(group?.id);
      const result = await github.mintRunner(request("m-2", { runnerGroup: "none" }));
      expect(result).toMatchObject({
        kind: "refused",
        status: 404,
        message: expect.stringContaining("none"),
      });
    });

    test("what GitHub will never register is a refusal with its own sentence", async () => {
      expect(await github.mintRunner(request("x".repeat(65)))).toMatchObject({
        kind: "refused",
        status: 422,
      });
      const elsewhere: Scope = { ...organization, kind: "repository", owner: "other", name: "app" };
      expect(await github.mintRunner(request("m-1", { scope: elsewhere }))).toMatchObject({
        kind: "refused",
        status: 404,
      });
    });

    test("more runners than fit on a page are all listed", async () => {
      await Promise.all(Array.from({ length: 101 }, (_, index) => mint(`m-${index}`)));
      const runners = await github.listRunners(organization);
      expect(new Set(runners.map((runner) => runner.name)).size).toBe(101);
    });

    test("jobs that wait or run are listed, also inside runs that are in progress", async () => {
      model.findRepository("acme", "app").protectedEnvironments.add("production");
      const queued = startRun(["self-hosted", "linux"]);
      const waiting = startRun(["self-hosted"], { environment: "production" });
      const mixed = startRun(["gpu"], { jobs: 2 });
      const runner = await mint("m-1", { labels: ["gpu"] });
      model.connectRunner(now(), runner);
      model.pickUpJob(now(), runner, mixed.jobs[0]!);
      harness!.wake();
      for (let round = 0; round < 2; round++) {
        const found = await github.listOpenJobs(repository);
        expect(found.map((job) => [job.id, job.action]).sort()).toEqual(
          [
            [queued.jobs[0], "queued"],
            [waiting.jobs[0], "waiting"],
            [mixed.jobs[0], "in_progress"],
            [mixed.jobs[1], "queued"],
          ].sort(),
        );
      }
      const [event] = (await github.listOpenJobs(repository)).filter((job) => job.id === queued.jobs[0]);
      expect(event).toMatchObject({
        action: "queued",
        repository: { owner: "acme", name: "app", private: true },
        installationId: organization.installationId,
        runId: queued.id,
        runAttempt: 1,
        name: "build-0",
        workflowName: "CI",
        labels: ["self-hosted", "linux"],
      });
      expect(Math.abs(event!.createdAt - now())).toBeLessThan(10_000);
      expect(Math.abs(event!.receivedAt - now())).toBeLessThan(10_000);
      expect(event).not.toHaveProperty("runnerName");
      expect(event).not.toHaveProperty("startedAt");
    });

    test("a job is shown from queued to completed, and its end is seen in the list", async () => {
      const { jobs } = startRun(["self-hosted"]);
      const id = jobs[0]!;
      expect(await github.getJob(repository, id)).toMatchObject({ id, action: "queued" });
      expect(await github.listOpenJobs(repository)).toHaveLength(1);
      const runner = await mint("m-1");
      model.connectRunner(now(), runner);
      model.pickUpJob(now(), runner, id);
      expect(await github.getJob(repository, id)).toMatchObject({ action: "in_progress", runnerName: "m-1" });
      expect(await github.listOpenJobs(repository)).toMatchObject([
        { id, action: "in_progress", runnerName: "m-1" },
      ]);
      model.finishJob(now(), runner, id, "failure");
      expect(await github.listOpenJobs(repository)).toEqual([]);
      expect(await github.getJob(repository, id)).toMatchObject({
        action: "completed",
        conclusion: "failure",
        runnerName: "m-1",
        startedAt: expect.any(Number),
        completedAt: expect.any(Number),
      });
      expect(await github.getJob(repository, 1)).toBeUndefined();
    });

    test("deliveries are listed newest first and can be sent again", async () => {
      const before = now() - 1_000;
      for (let count = 0; count < 3; count++) startRun(["self-hosted"]);
      for (const { id } of model.state.deliveries.values()) {
        model.recordDelivery(id, { statusCode: 502, status: "Bad Gateway", durationSeconds: 0.1 });
      }
      const deliveries = await github.listDeliveries(before);
      expect(deliveries.length).toBeGreaterThanOrEqual(3);
      expect(deliveries[0]).toMatchObject({ succeeded: false, event: "workflow_job" });
      const ids = deliveries.map((delivery) => delivery.id);
      expect(ids).toEqual([...ids].sort((left, right) => right - left));
      await github.redeliver(ids[0]!);
      const again = [...model.state.deliveries.values()].at(-1);
      expect(again).toMatchObject({ guid: deliveries[0]?.guid, isRedelivery: true });
      expect(await github.listDeliveries(now() + 60_000)).toEqual([]);
      await expect(github.redeliver(99)).rejects.toMatchObject({ kind: "give-up" });
    });

    test("lists every repository of every installation, and says when it could not look everywhere", async () => {
      const { repositories, complete } = await github.listRepositories();
      expect(complete).toBe(true);
      expect(repositories).toContainEqual(repository);
      model.suspendInstallation(now(), repository.installationId, true);
      expect(await github.listRepositories()).toMatchObject({ complete: false });
    });

    test("a job that was given up is reported on its commit", async () => {
      const run = startRun(["self-hosted"]);
      const report = {
        repository,
        jobId: run.jobs[0]!,
        jobName: "build-0",
        runId: run.id,
        because: "no-capacity",
        detail: "No spot capacity for 23 hours.",
      };
      expect(await github.reportGivenUp(report)).toBe("reported");
      const [check] = [...model.state.checkRuns.values()];
      expect(check).toMatchObject({ headSha: model.findRun(run.id).headSha, conclusion: "failure" });
      expect(`${check?.title} ${check?.summary}`).toContain("No spot capacity for 23 hours.");
    });

    const finish = async (jobId: number, conclusion: "success" | "failure"): Promise<void> => {
      const id = await mint(`m-${jobId}`);
      model.connectRunner(now(), id);
      model.pickUpJob(now(), id, jobId);
      model.finishJob(now(), id, jobId, conclusion);
      harness!.wake();
    };

    test("a run tells where it stands, and its jobs in every state", async () => {
      const { id, jobs } = startRun(["self-hosted"], { jobs: 2 });
      await finish(jobs[0]!, "failure");
      expect(await github.getRun(repository, id)).toEqual({ attempt: 1, ended: false });
      expect(await github.listRunJobs(repository, id)).toMatchObject([
        {
          id: jobs[0],
          action: "completed",
          conclusion: "failure",
          runnerName: `m-${jobs[0]}`,
          runAttempt: 1,
        },
        { id: jobs[1], action: "queued", name: "build-1" },
      ]);
      await finish(jobs[1]!, "success");
      expect(await github.getRun(repository, id)).toEqual({ attempt: 1, ended: true, conclusion: "failure" });
      expect(await github.getRun(repository, 5)).toBeUndefined();
    });

    test("one job of an ended run is run again, with a new id and the same name; the others stay", async () => {
      const { id, jobs } = startRun(["self-hosted"], { jobs: 3 });
      await finish(jobs[0]!, "failure");
      expect(await github.rerun(repository, id, jobs[0]!)).toEqual({ kind: "still-running" });
      await finish(jobs[1]!, "failure");
      await finish(jobs[2]!, "success");
      expect(await github.rerun(repository, id, jobs[1]!)).toEqual({ kind: "started" });
      expect(await github.getRun(repository, id)).toEqual({ attempt: 2, ended: false });
      const [first, second, third] = await github.listRunJobs(repository, id);
      expect([first?.id, third?.id]).toEqual([jobs[0], jobs[2]]);
      expect(second).toMatchObject({ action: "queued", name: "build-1", runAttempt: 2 });
      expect(jobs).not.toContain(second?.id);
      expect(await github.rerun(repository, id, jobs[0]!)).toEqual({ kind: "still-running" });
    });

    test("all failed jobs of an ended run are run again", async () => {
      const { id, jobs } = startRun(["self-hosted"], { jobs: 3 });
      await finish(jobs[0]!, "failure");
      await finish(jobs[1]!, "success");
      await finish(jobs[2]!, "failure");
      expect(await github.rerun(repository, id, "failed-jobs")).toEqual({ kind: "started" });
      const attempts = (await github.listRunJobs(repository, id)).map((job) => job.runAttempt);
      expect(attempts).toEqual([2, 1, 2]);
    });

    test("what may not be run again is refused with a sentence", async () => {
      await setUp({ permissions: { actions: "read", organization_self_hosted_runners: "write" } });
      const { id, jobs } = startRun(["self-hosted"]);
      await finish(jobs[0]!, "failure");
      const mayNot = await github.rerun(repository, id, "failed-jobs");
      expect(mayNot).toMatchObject({ kind: "refused", message: expect.stringContaining("actions: write") });
      await setUp({ limits: { attemptsPerRun: 1 } });
      const old = startRun(["self-hosted"]);
      await finish(old.jobs[0]!, "failure");
      expect(await github.rerun(repository, old.id, "failed-jobs")).toMatchObject({ kind: "refused" });
    });

    test("an App that may not write checks says so", async () => {
      await setUp({ permissions: { actions: "read", metadata: "read" } });
      const run = startRun(["self-hosted"]);
      const report = {
        repository,
        jobId: run.jobs[0]!,
        jobName: "b",
        runId: run.id,
        because: "x",
        detail: "y",
      };
      expect(await github.reportGivenUp(report)).toBe("not-permitted");
      expect(await github.reportGivenUp(report)).toBe("not-permitted");
      expect(await github.mintRunner(request("m-1"))).toMatchObject({ kind: "refused", status: 403 });
      await expect(github.listRunners(organization)).rejects.toMatchObject({
        kind: "operator",
        code: "GITHUB_PERMISSION_MISSING",
      });
    });

    test("a suspended or unknown installation is for the operator, and works again afterwards", async () => {
      await mint("m-1");
      model.suspendInstallation(now(), organization.installationId, true);
      await expect(github.mintRunner(request("m-2"))).rejects.toMatchObject({
        kind: "operator",
        code: "GITHUB_INSTALLATION_SUSPENDED",
      });
      model.suspendInstallation(now(), organization.installationId, false);
      await mint("m-2");
      const unknown = { ...organization, installationId: 1 };
      await expect(github.listRunners(unknown)).rejects.toMatchObject({ kind: "operator" });
      await expect(github.deleteRunner({ ...organization, owner: "other" }, 5)).rejects.toMatchObject({
        kind: "operator",
      });
    });

    test("a full runner group is nothing that one job is refused for", async () => {
      await setUp({ limits: { runnersPerGroup: 1 } });
      const runnerId = await mint("m-1");
      await expect(github.mintRunner(request("m-2"))).rejects.toMatchObject({
        kind: "operator",
        code: "GITHUB_RUNNER_GROUP_FULL",
      });
      await github.deleteRunner(organization, runnerId);
      await mint("m-2");
    });

    test("a secondary limit is obeyed without a further request, until it is over", async () => {
      await mint("m-1");
      model.setFaults({ ...noFaults, secondaryLimitFraction: 1, secondaryLimitRetrySeconds: 60 });
      const error = await github.listRunners(organization).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ kind: "wait", code: "GITHUB_RATE_LIMITED" });
      const { retryAt } = error as { retryAt: number };
      expect(retryAt - now()).toBeGreaterThan(50_000);
      expect(retryAt - now()).toBeLessThanOrEqual(61_000);
      model.setFaults(noFaults);
      const used = JSON.stringify([...model.state.buckets]);
      await expect(github.mintRunner(request("m-2"))).rejects.toMatchObject({ kind: "wait" });
      expect(JSON.stringify([...model.state.buckets])).toBe(used);
    });

    test("what is left of the hour is kept for the fence and for registrations", async () => {
      await setUp({ limits: { requestsPerHour: 100 } });
      const id = await mint("m-1");
      const sweep = () => github.findRunner(organization, "m-1").then(() => github.getJob(repository, 1));
      const waits = async (act: () => Promise<unknown>): Promise<boolean> => {
        for (let count = 0; count < 110; count++) {
          const error = await act().catch((thrown: unknown) => thrown);
          if (error instanceof Error && "kind" in error && error.kind === "wait") return true;
        }
        return false;
      };
      expect(await waits(sweep)).toBe(true);
      const [budget] = github.budgets();
      expect(budget).toMatchObject({ installationId: organization.installationId, limit: 100 });
      expect(budget!.remaining).toBeGreaterThan(5);
      expect(await github.deleteRunner(organization, id)).toBe("deleted");
      expect(await waits(() => github.findRunner(organization, "m-1"))).toBe(true);
      expect(github.budgets()[0]!.remaining).toBeLessThanOrEqual(3);
      await mint("m-3");
    });

    test("looking again at what has not changed costs nothing of the hour", async () => {
      startRun(["self-hosted"]);
      await github.listRunners(organization);
      await github.listOpenJobs(repository);
      const [before] = github.budgets();
      for (let count = 0; count < 3; count++) {
        await github.listRunners(organization);
        await github.listOpenJobs(repository);
      }
      expect(github.budgets()[0]!.remaining).toBe(before!.remaining);
    });

    test("without rate limits at the server there is no budget, and nothing is refused", async () => {
      await setUp({ limits: { rateLimitsEnabled: false } });
      const names = Array.from({ length: 200 }, (_, index) => `m-${index}`);
      await Promise.all(names.map((name) => mint(name)));
      expect(github.budgets()).toEqual([]);
    });

    test("whatever fails on the way is a MayflyError that says to try again, and it ends well", async () => {
      model.setFaults({
        ...faultPresets.heavy,
        secondaryLimitFraction: 0,
        restErrorFraction: 0.3,
        restAnswerLostFraction: 0.2,
      });
      const failures = new Set<string>();
      let id: number | undefined;
      for (let count = 0; count < 100 && id === undefined; count++) {
        try {
          const result = await github.mintRunner(request("m-1"));
          if (result.kind === "minted") id = result.runnerId;
          else id = (await github.findRunner(organization, "m-1"))?.id;
        } catch (error) {
          failures.add((error as { kind: string }).kind);
        }
      }
      expect([...model.state.runners.values()].map((runner) => runner.id)).toEqual([id]);
      expect([...failures].every((kind) => kind === "retry")).toBe(true);
    });
  });
}
