import type { Change, Ledger, Machine } from "../../src/core/model.ts";
import type { Compute, LaunchRequest } from "../../src/ports/compute.ts";
import type { Github } from "../../src/ports/github.ts";
import type { Ports } from "../../src/ports/ports.ts";
import type { Store } from "../../src/ports/store.ts";
import type { Stage } from "../../src/targets/sim/process.ts";
import type { Sabotage, World } from "../../src/targets/sim/world.ts";

/** A bug that somebody might write, put in at a port: production code knows nothing of it. */
export interface PlantedBug {
  readonly name: string;
  /** How many seeds it took when the page was written: where the test begins to look. */
  readonly foundAt: number;
  /** Made anew for every seed, because some bugs remember things. */
  readonly plant: () => Sabotage;
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "no fence: a machine is terminated without asking GitHub",
    foundAt: 25,
    plant: () => github(() => ({ deleteRunner: async () => "deleted" })),
  },
  {
    name: "the fence's refusal is ignored",
    foundAt: 117,
    plant: () =>
      github((real) => ({
        deleteRunner: async (scope, id) => {
          const answer = await real.deleteRunner(scope, id);
          return answer === "running-a-job" ? "deleted" : answer;
        },
      })),
  },
  { name: "the intent is recorded after the launch", foundAt: 1, plant: intentAfterLaunch },
  {
    name: "a commit without looking at the version",
    foundAt: 1,
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
    foundAt: 4,
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
    foundAt: 16,
    plant: () =>
      github((real) => ({
        async deleteRunner(scope, id) {
          const runner = (await real.listRunners(scope)).find((entry) => entry.id === id);
          return runner?.busy === true ? "running-a-job" : "deleted";
        },
      })),
  },
  { name: "a completed job is opened again by a late `queued`", foundAt: 14, plant: reopenedJob },
  {
    name: "a claim is answered although the runner was online",
    foundAt: 8,
    plant: () => ({
      ports: (stage, ports) => (stage === "claim" ? { ...ports, store: forgetful(ports.store) } : ports),
    }),
  },
  { name: "a launch is repeated with a new token", foundAt: 13, plant: newTokens },
  {
    name: "caps are only checked when planning, not in the commit",
    foundAt: 6,
    plant: () =>
      store((real) => ({ commit: (fleet, version, changes) => real.commit(fleet, version, changes) })),
  },
  {
    name: "on-demand is never tried where spot is preferred",
    foundAt: 10,
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
    foundAt: 7,
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
    foundAt: 11,
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
    foundAt: 11,
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
    foundAt: 1,
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
];

/**
 * Not found in 300 seeds: the idle limit of the preset ends such a machine before any bound is passed. The bound of S2
 * for machines whose runner is gone has to become tighter, or such seeds more frequent.
 */
export const bugsNotFoundYet: readonly PlantedBug[] = [
  { name: "an idle runner that has gone is not noticed", foundAt: 1, plant: goneRunnersIgnored },
];

// ------------------------------------------------------------------------------------------ at a port

function github(bug: (real: Github) => Partial<Github>): Sabotage {
  return { ports: (_stage, ports) => withGithub(ports, bug) };
}

function store(bug: (real: Store) => Partial<Store>): Sabotage {
  return { ports: (_stage, ports) => ({ ...ports, store: { ...ports.store, ...bug(ports.store) } }) };
}

function compute(bug: (real: Compute) => Partial<Compute>): Sabotage {
  return { ports: (_stage, ports) => withCompute(ports, bug) };
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

/** A store that does not remember that a runner was online, or busy. */
function forgetful(real: Store): Store {
  const forget = (machine: Machine): Machine => {
    const { online: _, ...times } = machine.times;
    return { ...machine, times, ...(machine.state === "busy" && { state: "registered" }) };
  };
  const load = async (fleet: string): Promise<Ledger> => {
    const ledger = await real.load(fleet);
    return { ...ledger, machines: ledger.machines.map(forget) };
  };
  return { ...real, load };
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
