import type { Measures } from "../../core/measures.ts";
import type { Instant } from "../../core/model.ts";
import type { RequestBudget } from "../../ports/github.ts";

export interface MetricsInput {
  readonly namespace: string;
  /** The instant that the measures are of. CloudWatch takes it up to two weeks late. */
  readonly at: Instant;
  readonly measures: Measures;
  readonly budgets: readonly RequestBudget[];
}

/** One line of a log from which CloudWatch takes metrics (embedded metric format). */
export type MetricsDocument = Readonly<Record<string, unknown>>;

/**
 * The measures as documents for CloudWatch, which makes percentiles itself from the single values of a list.
 *
 * | metric                                       | dimension      | unit    |
 * |----------------------------------------------|----------------|---------|
 * | `QueueToStart`, `GithubDelay` (its part)     |                | Seconds |
 * | `Launches`                                   |                | Count   |
 * | `LaunchRefusals`                             | `Class`        | Count   |
 * | `MachinesEnded`                              | `Reason`       | Count   |
 * | `JobsEnded`                                  | `Outcome`      | Count   |
 * | `Jobs`, `Machines` (those that are there)    | `State`        | Count   |
 * | `GithubRequestsRemaining`                    | `Installation` | Count   |
 *
 * Every pair of metric and value of its dimension costs money while it is published, so what is zero is left out.
 */
export function metricsDocuments({
  namespace,
  at,
  measures,
  budgets,
}: MetricsInput): readonly MetricsDocument[] {
  const documents: MetricsDocument[] = [];
  const put = (metrics: Metrics, dimension?: Dimension): void => {
    documents.push(documentOf(namespace, at, metrics, dimension));
  };
  const putAll = (name: string, dimension: string, counts: ReadonlyMap<string, number>): void => {
    for (const [value, count] of counts) put({ [name]: [count, "Count"] }, [dimension, value]);
  };
  for (let first = 0; first < measures.waitSeconds.length; first += valuesLimit) {
    const cut = (values: readonly number[]) => values.slice(first, first + valuesLimit);
    put({
      QueueToStart: [cut(measures.waitSeconds), "Seconds"],
      GithubDelay: [cut(measures.githubSeconds), "Seconds"],
    });
  }
  if (measures.launches > 0) put({ Launches: [measures.launches, "Count"] });
  putAll("LaunchRefusals", "Class", measures.refusals);
  putAll("MachinesEnded", "Reason", measures.machinesEnded);
  putAll("JobsEnded", "Outcome", measures.jobsEnded);
  putAll("Jobs", "State", measures.jobs);
  putAll("Machines", "State", measures.machines);
  const remaining = budgets.map((budget) => [String(budget.installationId), budget.remaining] as const);
  putAll("GithubRequestsRemaining", "Installation", new Map(remaining));
  return documents;
}

/** CloudWatch takes no more values of one metric from one document. */
const valuesLimit = 100;

type Metrics = Readonly<Record<string, readonly [number | readonly number[], "Seconds" | "Count"]>>;
type Dimension = readonly [name: string, value: string];

function documentOf(
  namespace: string,
  at: Instant,
  metrics: Metrics,
  dimension: Dimension | undefined,
): MetricsDocument {
  const directive = {
    Namespace: namespace,
    Dimensions: [dimension === undefined ? [] : [dimension[0]]],
    Metrics: Object.entries(metrics).map(([Name, [, Unit]]) => ({ Name, Unit })),
  };
  return {
    _aws: { Timestamp: at, CloudWatchMetrics: [directive] },
    ...(dimension !== undefined && { [dimension[0]]: dimension[1] }),
    ...Object.fromEntries(Object.entries(metrics).map(([name, [value]]) => [name, value])),
  };
}
