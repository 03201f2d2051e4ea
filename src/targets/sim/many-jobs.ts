import type { Scenario } from "./scenario.ts";

/** The same world with so many jobs. What is limited grows with them, so that there are as many jobs to a place as before. */
export function withJobs(scenario: Scenario, jobs: number): Scenario {
  const { policy, arrivals, pools } = scenario;
  const factor = Math.max(1, jobs / arrivals.jobs);
  const grown = (limit: number): number => Math.ceil(limit * factor);
  const { machines, perRepository, dailyBudgetUsd } = policy.limits;
  return {
    ...scenario,
    arrivals: { ...arrivals, jobs },
    pools: pools.map((pool) => ({ ...pool, capacity: grown(pool.capacity) })),
    policy: {
      ...policy,
      presets: policy.presets.map((preset) => ({ ...preset, max: grown(preset.max) })),
      limits: {
        ...policy.limits,
        machines: grown(machines),
        perRepository: grown(perRepository),
        ...(dailyBudgetUsd !== undefined && { dailyBudgetUsd: dailyBudgetUsd * factor }),
      },
    },
  };
}
