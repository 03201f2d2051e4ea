import { noFaults } from "../../emulator/model-faults.ts";
import { quiet } from "./faults.ts";
import type { Scenario } from "./scenario.ts";

/**
 * A seed that found a bug, as it is kept in `test/seeds`. It holds its scenario, because the drawing of scenarios
 * changes whenever a fault is added: the bug must stay where it was.
 */
export interface RecordedSeed {
  readonly why: string;
  readonly scenario: Scenario;
}

/** The scenario with every fault that has been added since it was recorded, off, and what its policy lacks. */
export function recordedScenario({ scenario }: RecordedSeed): Scenario {
  const github = { ...noFaults, ...scenario.faults.github };
  const { machineTypes = {}, rerunsPerJob = 2 } = scenario.policy;
  const policy = { ...scenario.policy, machineTypes, rerunsPerJob };
  return { ...scenario, policy, faults: { ...quiet, ...scenario.faults, github } };
}
