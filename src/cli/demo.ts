import type { FaultPreset } from "../emulator/model-faults.ts";
import { runDemo } from "../targets/box/demo.ts";
import { type ExitCode, exitCodes } from "./failure.ts";

export interface DemoCommandOptions {
  readonly version: string;
  readonly workflow?: string;
  readonly jobs: number;
  readonly faults: FaultPreset;
  readonly keep?: boolean;
  readonly json?: boolean;
}

/** `mayfly demo`: 0 only when every job ended and no machine is left. */
export async function demoCommand(options: DemoCommandOptions): Promise<ExitCode> {
  const { ok } = await runDemo({
    version: options.version,
    jobs: options.jobs,
    faults: options.faults,
    keep: options.keep === true,
    json: options.json === true,
    ...(options.workflow !== undefined && { workflowPath: options.workflow }),
  });
  return ok ? exitCodes.ok : exitCodes.failed;
}
