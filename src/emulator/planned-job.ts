/** A workflow as it will run: the matrix is expanded, names and labels are final. */
export interface PlannedWorkflow {
  readonly name: string;
  /** Where the file lies in its repository, for instance `.github/workflows/ci.yml`. */
  readonly path: string;
  readonly jobs: readonly PlannedJob[];
}

export interface PlannedJob {
  /** The job's key in the workflow file. All jobs of one matrix share it. */
  readonly key: string;
  /** The name that GitHub shows, with the values of the matrix. */
  readonly name: string;
  /** Keys of the jobs that must end first. */
  readonly needs: readonly string[];
  readonly labels: readonly string[];
  readonly runnerGroup?: string;
  readonly matrix: Readonly<Record<string, unknown>>;
  readonly maxParallel?: number;
  /** A failed job of the matrix cancels the others. */
  readonly failFast: boolean;
  readonly continueOnError: boolean;
  readonly environment?: string;
  readonly condition: Condition;
  /** The job calls a reusable workflow, which is not run: it is shown as skipped. */
  readonly reusableWorkflow?: string;
  readonly timeoutMinutes?: number;
  readonly environmentVariables: Readonly<Record<string, string>>;
  /** What later jobs can read, as expressions over the steps. */
  readonly outputs?: Readonly<Record<string, string>>;
  readonly defaultShell?: string;
  readonly defaultWorkingDirectory?: string;
  readonly steps: readonly PlannedStep[];
}

export interface PlannedStep {
  readonly id?: string;
  readonly name: string;
  readonly condition: Condition;
  readonly run?: string;
  readonly uses?: string;
  readonly shell?: string;
  readonly workingDirectory?: string;
  readonly environmentVariables: Readonly<Record<string, string>>;
  readonly continueOnError: boolean;
  readonly timeoutMinutes?: number;
}

/** The conditions that are understood; any other `if:` counts as `success`. */
export type Condition = "success" | "failure" | "always" | "never";

/** A planned job with defaults for everything that the caller does not care about. */
export function plannedJob(fields: Partial<PlannedJob> & { readonly labels: readonly string[] }): PlannedJob {
  const key = fields.key ?? "build";
  return {
    key,
    name: key,
    needs: [],
    matrix: {},
    failFast: true,
    continueOnError: false,
    condition: "success",
    environmentVariables: {},
    steps: [],
    ...fields,
  };
}
