import type { Change, Ledger, Machine } from "../../src/core/model.ts";
import { Secret } from "../../src/core/secret.ts";
import type { Compute, LaunchRequest, ListedMachine } from "../../src/ports/compute.ts";
import type { Github } from "../../src/ports/github.ts";
import type { ImageBuilder } from "../../src/ports/images.ts";
import type { Ports } from "../../src/ports/ports.ts";
import type { Store } from "../../src/ports/store.ts";
import type { Faults } from "../../src/targets/sim/faults.ts";
import type { Stage } from "../../src/targets/sim/process.ts";
import { guessedSecret, type Sabotage, type World } from "../../src/targets/sim/world.ts";

/** A bug that somebody might write, put in at a port: production code knows nothing of it. */
export interface PlantedBug {
  readonly name: string;
  /** Made anew for every seed, because some bugs remember things. */
  readonly plant: () => Sabotage;
  /** The check that it is planted for, where others may find it earlier: the search goes on until this one speaks. */
  readonly check?: string;
  /** Where the bug matters only when something rare goes wrong, too: that goes wrong in every seed. */
  readonly faults?: Partial<Faults>;
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "no fence: a machine is terminated without asking GitHub",
    plant: () => github(() => ({ deleteRunner: async () => "deleted" })),
  },
  {
    name: "the fence's refusal is ignored",
    plant: () =>
      github((real) => ({
        deleteRunner: async (scope, id) => {
          const answer = await real.deleteRunner(scope, id);
          return answer === "running-a-job" ? "deleted" : answer;
        },
      })),
  },
  { name: "the intent is recorded after the launch", plant: intentAfterLaunch },
  {
    name: "a commit without looking at the version",
    plant: () =>
      store((real) => ({
        async commit(fleet, version, changes, limits) {
          let seen = version;
          for (;;) {
            const result = await real.commit(fleet, seen, changes, limits);
            if (result.kind !== "conflict") return result;
            seen = (await real.load(fleet)).version;
          }
        },
      })),
  },
  {
    name: "pokes are lost, and there is no rebalance",
    plant: () => ({
      withoutRebalance: true,
      ports: (_stage, ports) => ({
        ...ports,
        work: {
          send: (message, options) =>
            ports.random.fraction() < 0.2 ? Promise.resolve() : ports.work.send(message, options),
        },
      }),
    }),
  },
  {
    name: "`busy: false` of the list is trusted instead of the fence",
    plant: () =>
      github((real) => ({
        async deleteRunner(scope, id) {
          const runner = (await real.listRunners(scope)).find((entry) => entry.id === id);
          return runner?.busy === true ? "running-a-job" : "deleted";
        },
      })),
  },
  { name: "a completed job is opened again by a late `queued`", plant: reopenedJob },
  {
    name: "a claim is answered although the runner was online",
    plant: () => inClaims((ports) => ({ ...ports, store: forgetful(ports.store, notOnline) })),
  },
  {
    name: "a claim is answered although a job runs",
    plant: () => inClaims((ports) => ({ ...ports, store: forgetful(ports.store, notBusy) })),
  },
  { name: "a repeated claim gets a second runner, of another name", plant: secondRunner },
  { name: "a launch is repeated with a new token", plant: newTokens },
  {
    name: "caps are only checked when planning, not in the commit",
    plant: () =>
      store((real) => ({ commit: (fleet, version, changes) => real.commit(fleet, version, changes) })),
  },
  {
    name: "machines that have ended are left out of the day's cost",
    plant: () => store(() => ({ usage: async () => [] })),
  },
  {
    name: "on-demand is never tried where spot is preferred",
    plant: () =>
      compute((real) => ({
        launch: (request) => {
          if (request.purchase === "spot" || request.spec.market !== "spot-preferred")
            return real.launch(request);
          return Promise.resolve(refusals(request));
        },
      })),
  },
  {
    name: "the sweep lists only what the ledger knows",
    plant: () => ({
      ports: (_stage, ports, world) =>
        withCompute(ports, (real) => ({
          list: async () => {
            const listed = await real.list();
            return listed.filter(({ machineId }) => isActive(world.machines.get(machineId ?? "")));
          },
        })),
    }),
  },
  {
    name: "a notice that a machine will be taken is ignored",
    plant: () =>
      store((real) => ({
        commit: (fleet, version, changes, limits) => {
          const others = changes.filter(
            (change) => change.put !== "machine" || !isInterrupted(change.machine),
          );
          return real.commit(fleet, version, others, limits);
        },
      })),
  },
  {
    name: "a job that was lost with its machine is forgotten",
    plant: () =>
      store((real) => ({
        commit: (fleet, version, changes, limits) => {
          const forgotten = changes.map((change) => {
            if (change.put !== "job" || change.job.loss?.kind !== "undecided") return change;
            const { loss: _, ...job } = change.job;
            return { ...change, job };
          });
          return real.commit(fleet, version, forgotten, limits);
        },
      })),
  },
  {
    name: "the JIT config is logged",
    plant: () => ({
      ports: (_stage, ports) =>
        withGithub(ports, (real) => ({
          async mintRunner(request) {
            const minted = await real.mintRunner(request);
            if (minted.kind === "minted") {
              ports.log.info("A runner was registered.", {
                stage: "claim",
                config: minted.jitConfig.reveal(),
              });
            }
            return minted;
          },
        })),
    }),
  },
  { name: "an idle runner that has gone is not noticed", plant: goneRunnersIgnored },
  { name: "the provider's list still holds what is gone", plant: goneMachinesListed, check: "L2" },
  {
    name: "an error of GitHub is taken for its not knowing the job",
    plant: () =>
      github((real) => ({
        getJob: (repository, id) => real.getJob(repository, id).catch(() => undefined),
      })),
  },
  {
    name: "a default webhook secret is accepted",
    plant: () => ({
      ports: (_stage, ports) => ({
        ...ports,
        secrets: {
          read: async (name) => [...(await ports.secrets.read(name)), new Secret(guessedSecret)],
        },
      }),
    }),
  },
  {
    name: "a job is acknowledged and not recorded",
    plant: () =>
      store((real) => ({
        addJob: async (record, job) => (job.id % 10 === 3 ? "added" : real.addJob(record, job)),
      })),
  },
  { name: "the build of an image is ordered before it is noted", plant: orderBeforeIntent },
  {
    name: "the order of a build is repeated under another tag",
    plant: () => {
      let orders = 0;
      return images((real) => ({
        start: (order) => {
          orders += 1;
          return real.start({ ...order, tag: `${order.tag}-${orders}` });
        },
      }));
    },
  },
  {
    name: "jobs are given up when a build of their image fails for the first time",
    plant: () =>
      store((real) => ({
        load: async (fleet) => {
          const ledger = await real.load(fleet);
          const { record } = ledger;
          const failure = record?.image?.failure;
          if (record?.image === undefined || failure === undefined) return ledger;
          const image = { ...record.image, failure: { ...failure, isFinal: true } };
          return { ...ledger, record: { ...record, image } };
        },
      })),
  },
  {
    name: "an image that is built again serves all machines at once",
    faults: { imageBrokenFraction: 0.5, recipeChanges: 3 },
    plant: () =>
      store((real) => ({
        commit: (fleet, version, changes, limits) => {
          const trusted = changes.map((change) => {
            const image = change.put === "fleet" ? change.record.image : undefined;
            if (change.put !== "fleet" || image?.trial === undefined) return change;
            const { trial, ...rest } = image;
            const { reference, recipe, builtAt } = trial;
            const after = { ...rest, usable: { reference, recipe, builtAt } };
            return { ...change, record: { ...change.record, image: after } };
          });
          return real.commit(fleet, version, trusted, limits);
        },
      })),
  },
  {
    name: "a job that cannot be served is never given up",
    plant: () =>
      store((real) => ({
        commit: (fleet, version, changes, limits) => {
          const others = changes.filter(
            (change) => change.put !== "job" || change.job.outcome?.kind !== "given-up",
          );
          return real.commit(fleet, version, others, limits);
        },
      })),
  },
];

// ------------------------------------------------------------------------------------------ at a port

function inClaims(bug: (ports: Ports) => Ports): Sabotage {
  return { ports: (stage, ports) => (stage === "claim" ? bug(ports) : ports) };
}

function github(bug: (real: Github) => Partial<Github>): Sabotage {
  return { ports: (_stage, ports) => withGithub(ports, bug) };
}

function store(bug: (real: Store) => Partial<Store>): Sabotage {
  return { ports: (_stage, ports) => ({ ...ports, store: { ...ports.store, ...bug(ports.store) } }) };
}

function compute(bug: (real: Compute) => Partial<Compute>): Sabotage {
  return { ports: (_stage, ports) => withCompute(ports, bug) };
}

function images(bug: (real: ImageBuilder) => Partial<ImageBuilder>): Sabotage {
  return {
    ports: (_stage, ports) =>
      ports.images === undefined ? ports : { ...ports, images: { ...ports.images, ...bug(ports.images) } },
  };
}

function withGithub(ports: Ports, bug: (real: Github) => Partial<Github>): Ports {
  return { ...ports, github: { ...ports.github, ...bug(ports.github) } };
}

function withCompute(ports: Ports, bug: (real: Compute) => Partial<Compute>): Ports {
  const adapters = [...ports.compute].map(([name, real]) => [name, { ...real, ...bug(real) }] as const);
  return { ...ports, compute: new Map(adapters) };
}

// --------------------------------------------------------------------------------- bugs with a memory

/** New machines are kept back from the commit that plans them, and written when the cloud has answered. */
function intentAfterLaunch(): Sabotage {
  const ports = (_stage: Stage, own: Ports): Ports => {
    const keptBack = new Map<string, Machine>();
    const isIntent = (change: Change): boolean =>
      change.put === "machine" && change.machine.state === "requested" && change.machine.launchAttempts === 1;
    const commit: Store["commit"] = async (fleet, version, changes, limits) => {
      const others = changes.filter((change) => !isIntent(change));
      const result = await own.store.commit(fleet, version, others, limits);
      if (result.kind !== "committed") return result;
      for (const change of changes) {
        if (change.put === "machine" && isIntent(change)) keptBack.set(change.machine.id, change.machine);
      }
      return result;
    };
    const record = async (request: LaunchRequest): Promise<void> => {
      const changes = request.machines.flatMap(({ id }): Change[] => {
        const machine = keptBack.get(id);
        return machine === undefined ? [] : [{ put: "machine", machine }];
      });
      for (let result = "conflict"; result === "conflict"; ) {
        const { version } = await own.store.load(request.fleet);
        result = (await own.store.commit(request.fleet, version, changes)).kind;
      }
    };
    return withCompute({ ...own, store: { ...own.store, commit } }, (real) => ({
      async launch(request) {
        const outcomes = await real.launch(request);
        await record(request);
        return outcomes;
      },
    }));
  };
  return { ports };
}

function orderBeforeIntent(): Sabotage {
  const ports = (_stage: Stage, own: Ports): Ports => {
    const commit: Store["commit"] = async (fleet, version, changes, limits) => {
      for (const change of changes) {
        const image = change.put === "fleet" ? change.record.image : undefined;
        if (image?.build === undefined || image.build.id !== undefined) continue;
        const { base, architecture, build } = image;
        await own.images?.start({ base, architecture, tag: build.tag });
      }
      return own.store.commit(fleet, version, changes, limits);
    };
    return { ...own, store: { ...own.store, commit } };
  };
  return { ports };
}

function reopenedJob(): Sabotage {
  return store((real) => ({
    async addJob(record, job) {
      const answer = await real.addJob(record, job);
      const known = answer === "exists" ? await real.findJob(job.id) : undefined;
      if (known?.state === "done" && job.state === "queued" && known.outcome?.kind === "completed") {
        const { version } = await real.load(known.fleet);
        await real.commit(known.fleet, version, [{ put: "job", job: { ...job, fleet: known.fleet } }]);
      }
      return answer;
    },
  }));
}

/** A store that does not remember something of the machines. */
function forgetful(real: Store, forget: (machine: Machine) => Machine): Store {
  const load = async (fleet: string): Promise<Ledger> => {
    const ledger = await real.load(fleet);
    return { ...ledger, machines: ledger.machines.map(forget) };
  };
  return { ...real, load };
}

function notOnline(machine: Machine): Machine {
  const { online: _, ...times } = machine.times;
  return { ...machine, times };
}

function notBusy(machine: Machine): Machine {
  return machine.state === "busy" ? { ...notOnline(machine), state: "registered" } : machine;
}

function secondRunner(): Sabotage {
  return inClaims((ports) =>
    withGithub(ports, (real) => ({
      findRunner: async () => undefined,
      deleteRunner: async () => "deleted",
      async mintRunner(request) {
        const minted = await real.mintRunner(request);
        if (minted.kind !== "name-taken") return minted;
        return real.mintRunner({ ...request, name: `${request.name}-2` });
      },
    })),
  );
}

function newTokens(): Sabotage {
  const seen = new Map<string, number>();
  return compute((real) => ({
    launch: (request) => {
      const times = seen.get(request.token) ?? 0;
      seen.set(request.token, times + 1);
      return real.launch(times === 0 ? request : { ...request, token: `${request.token}-${times}` });
    },
  }));
}

function goneRunnersIgnored(): Sabotage {
  const ports = (_stage: Stage, own: Ports, world: World): Ports => {
    const lifecycle: Ports["lifecycle"] = {
      send: (event, options) => {
        const isExit = event.kind === "machine" && event.report.step === "exited" && !event.report.ranJob;
        return isExit ? Promise.resolve() : own.lifecycle.send(event, options);
      },
    };
    return withGithub({ ...own, lifecycle }, (real) => ({
      async listRunners(scope) {
        const runners = await real.listRunners(scope);
        const names = new Set(runners.map((runner) => runner.name));
        const gone = [...world.machines.values()].filter(
          ({ id, state }) => state === "registered" && !names.has(id),
        );
        return [...runners, ...gone.map(({ id }) => ({ id: 0, name: id, online: true, busy: false }))];
      },
    }));
  };
  return { ports };
}

/** As an API that shows terminated machines for an hour, and nobody leaves them out. */
function goneMachinesListed(): Sabotage {
  const seen = new Map<string, ListedMachine>();
  return compute((real) => ({
    async list() {
      for (const machine of await real.list()) seen.set(machine.providerId, machine);
      return [...seen.values()];
    },
    async terminate(providerIds) {
      const outcomes = await real.terminate(providerIds);
      return outcomes.map((outcome) =>
        seen.has(outcome.providerId) ? { ...outcome, kind: "terminating" } : outcome,
      );
    },
  }));
}

function refusals(request: LaunchRequest) {
  return request.machines.map(({ id }) => ({
    kind: "refused" as const,
    machineId: id,
    failure: "capacity" as const,
    code: "NeverTried",
    message: "On-demand was not tried.",
    pools: [],
  }));
}

function isActive(machine: Machine | undefined): boolean {
  return machine !== undefined && machine.state !== "ended";
}

function isInterrupted(machine: Machine): boolean {
  return machine.interruptedAt !== undefined;
}
