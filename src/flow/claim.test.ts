import { describe, expect, it } from "vitest";
import { policy, repository } from "../../test/builders.ts";
import { World } from "../../test/support/world.ts";
import { MayflyError } from "../core/errors.ts";
import type { Machine } from "../core/model.ts";
import { answerClaim } from "./claim.ts";
import { terminateMachine } from "./status.ts";

/** A world with one queued job and a machine that has booted and does nothing by itself. */
async function bootedMachine(world = new World()): Promise<{ world: World; machine: Machine }> {
  world.github.queueJob();
  await world.runUntil(() => world.agents.size > 0);
  for (const agent of world.agents.values()) agent.frozen = true;
  await world.run(1);
  return { world, machine: await world.onlyMachine() };
}

/** Lets something happen right before the effect of the next call of this name. */
function beforeNext(world: World, name: string, happening: () => Promise<unknown>): void {
  world.intercept = async (called, effect) => {
    if (called === name) {
      world.intercept = (_name, next) => next();
      await happening();
    }
    return effect();
  };
}

const unreachable = new MayflyError({
  kind: "retry",
  code: "GITHUB_UNREACHABLE",
  message: "GitHub does not answer.",
  suggestion: "It is tried again.",
});

describe("a machine that claims", () => {
  it("is told to run, once, with labels of its job and its own name", async () => {
    const { world, machine } = await bootedMachine();
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run", jobTimeoutSeconds: 3_600 });
    const [runner] = [...world.github.runners.values()];
    expect(runner).toMatchObject({ name: machine.id, labels: ["self-hosted", "linux", "x64"] });
    expect(await world.store.findMachine(machine.id)).toMatchObject({
      state: "registered",
      registration: { runnerId: runner?.id },
    });
  });

  it("is refused without a proof, and when no such machine is known; nothing is minted", async () => {
    const { world, machine } = await bootedMachine();
    const asked = (id: string, headers: Record<string, string>) =>
      answerClaim(world.ports, world.policy, id, { headers });
    expect(await asked(machine.id, {})).toMatchObject({ kind: "refused", status: 401 });
    expect(await asked(machine.id, { authorization: "Bearer x" })).toMatchObject({ status: 401 });
    expect(await world.claim("linux-x64-unknown")).toMatchObject({ kind: "refused", status: 404 });
    expect(world.github.runners.size).toBe(0);
  });

  it("may repeat its claim: the earlier registration is deleted first", async () => {
    const { world, machine } = await bootedMachine();
    const first = await world.claim(machine.id);
    const second = await world.claim(machine.id);
    expect([first.kind, second.kind]).toEqual(["run", "run"]);
    const [runner, ...others] = [...world.github.runners.values()];
    expect(others).toEqual([]);
    expect(second).toMatchObject({ kind: "run" });
    expect(second.kind === "run" && second.jitConfig.reveal()).toBe(runner?.jitConfig);
    expect((await world.onlyMachine()).registration?.runnerId).toBe(runner?.id);
  });

  it("leaves no runner behind in the repository for which it claimed before", async () => {
    const world = new World({ policy: policy({ registration: "repository" }) });
    const { machine } = await bootedMachine(world);
    await world.claim(machine.id);
    world.github.cancel([...world.github.jobs.values()][0]!);
    world.github.queueJob({ repository: repository({ name: "other" }) });
    await world.run(2);
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
    expect([...world.github.runners.values()].map((runner) => runner.scope)).toMatchObject([
      { name: "other" },
    ]);
  });

  it("is refused once its runner was online, and once a job runs", async () => {
    const { world, machine } = await bootedMachine();
    const answer = await world.claim(machine.id);
    if (answer.kind !== "run") throw new Error(answer.kind);
    world.github.connect(answer.jitConfig.reveal());
    world.github.assign();
    // GitHub knows of the job, we do not yet: the fence refuses.
    expect(await world.claim(machine.id)).toMatchObject({ kind: "refused", status: 409 });
    await world.run(1);
    expect(await world.claim(machine.id)).toMatchObject({ kind: "refused", status: 409 });
    expect(world.github.runners.size).toBe(1);
  });

  it("waits for as long as GitHub's rate limit says, a minute at most", async () => {
    const { world, machine } = await bootedMachine();
    const limited = (seconds: number) =>
      new MayflyError({
        kind: "wait",
        code: "GITHUB_RATE_LIMITED",
        message: "The budget is spent.",
        suggestion: "It is tried again.",
        retryAt: world.now() + seconds * 1_000,
      });
    world.github.failNext("mintRunner", [limited(17), limited(1_000)]);
    expect(await world.claim(machine.id)).toEqual({ kind: "wait", afterSeconds: 17 });
    expect(await world.claim(machine.id)).toEqual({ kind: "wait", afterSeconds: 60 });
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
  });

  it("asks seldom where only a person can change the cause", async () => {
    const { world, machine } = await bootedMachine();
    const suspended = new MayflyError({
      kind: "operator",
      code: "GITHUB_INSTALLATION_SUSPENDED",
      message: "The App is suspended.",
      suggestion: "Unsuspend it.",
    });
    world.github.failNext("mintRunner", [suspended, unreachable]);
    expect(await world.claim(machine.id)).toEqual({ kind: "wait", afterSeconds: 30 });
    expect(await world.claim(machine.id)).toEqual({ kind: "wait", afterSeconds: 5 });
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
  });

  it("gives a job up visibly when GitHub refuses five registrations in a row", async () => {
    const { world, machine } = await bootedMachine();
    const refused = { kind: "refused", status: 403, message: "Runners are disabled." } as const;
    world.github.failNext("mintRunner", [refused, refused, refused, refused, refused]);
    for (let time = 1; time <= 5; time++) {
      expect(await world.claim(machine.id)).toMatchObject({ kind: "wait" });
    }
    const [job] = await world.jobs();
    expect(job).toMatchObject({ state: "done", outcome: { because: "registration-refused" } });
    expect(world.github.givenUp).toHaveLength(1);
    expect(world.github.givenUp[0]?.detail).toContain("Runners are disabled.");
    expect(await world.claim(machine.id)).toMatchObject({ kind: "shut-down" });
  });

  it("counts refusals in a row only", async () => {
    const { world, machine } = await bootedMachine();
    const refused = { kind: "refused", status: 403, message: "Not now." } as const;
    world.github.failNext("mintRunner", [refused, refused, refused, refused, undefined, refused]);
    for (let time = 1; time <= 6; time++) await world.claim(machine.id);
    expect((await world.jobs())[0]).toMatchObject({ state: "queued", mintRefusals: 1 });
  });

  it("takes over its name when a registration of it is left that nobody noted", async () => {
    const { world, machine } = await bootedMachine();
    const answered = world.github.port.mintRunner;
    beforeNext(world, "github.mintRunner", async () => {
      const job = (await world.jobs())[0]!;
      const scope = { kind: "organization", installationId: 7, owner: job.repository.owner } as const;
      await answered({ scope, name: machine.id, labels: job.labels, runnerGroup: "default" });
    });
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
    expect(world.github.runners.size).toBe(1);
  });

  it("takes over its name also when an older registration of it was noted", async () => {
    const { world, machine } = await bootedMachine();
    await world.claim(machine.id);
    // The second answer is minted, but neither noted nor handed out: what is noted names a runner that is gone.
    let minted = false;
    world.intercept = async (name, effect) => {
      if (minted && name === "store.commit") throw unreachable;
      if (name === "github.mintRunner") minted = true;
      return effect();
    };
    expect(await world.claim(machine.id)).toMatchObject({ kind: "wait" });
    world.intercept = (_name, effect) => effect();
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
    expect(world.github.runners.size).toBe(1);
  });

  it("gets no registration when it was retired and fenced while GitHub made one", async () => {
    const { world, machine } = await bootedMachine();
    beforeNext(world, "github.mintRunner", async () => {
      await terminateMachine(world.ports, machine.id, false);
      await world.workThroughQueues();
    });
    expect(await world.claim(machine.id)).toMatchObject({ kind: "wait" });
    expect(world.github.runners.size).toBe(0);
    expect(await world.claim(machine.id)).toMatchObject({ kind: "refused", status: 409 });
  });

  it("gets the registration that is noted, when it asks twice at the same time", async () => {
    const { world, machine } = await bootedMachine();
    let first: unknown;
    let calls = 0;
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.intercept = async (name, effect) => {
      const result = await effect();
      // The first claim is held back after its mint, until the second has been answered.
      if (name === "github.mintRunner" && ++calls === 1) await held;
      return result;
    };
    const slow = world.claim(machine.id).then((answer) => {
      first = answer;
    });
    await new Promise((resolve) => setImmediate(resolve));
    const second = await world.claim(machine.id);
    release();
    await slow;
    const [runner] = [...world.github.runners.values()];
    expect(second.kind === "run" && second.jitConfig.reveal()).toBe(runner?.jitConfig);
    expect(first).toMatchObject({ kind: "wait" });
    expect((await world.onlyMachine()).registration?.runnerId).toBe(runner?.id);
  });

  it("is bound to another job of its repository although it holds the repository's last place itself", async () => {
    const limits = { machines: 10, perRepository: 1 };
    const world = new World({ policy: policy({ limits, registration: "repository" }) });
    const { machine } = await bootedMachine(world);
    world.github.failNext("mintRunner", [unreachable]);
    expect(await world.claim(machine.id)).toMatchObject({ kind: "wait" });
    const cancelled = [...world.github.jobs.values()][0]!;
    world.github.cancel(cancelled);
    world.github.queueJob({ repository: repository() });
    await world.run(2);
    expect(await world.claim(machine.id)).toMatchObject({ kind: "run" });
  });
});
