import { createAwsClient } from "../adapters/aws/client.ts";
import { createSystemClock } from "../adapters/clock/system.ts";
import { createSystemRandom } from "../adapters/random/system.ts";
import { createDynamoStore } from "../adapters/store/dynamodb.ts";
import { awsCredentials, awsPlace } from "../config/aws.ts";
import { processEnvironment } from "../config/environment.ts";
import { loadConfig } from "../config/load.ts";
import { type PruneDecision, type PrunePlace, planPrune, prune } from "../targets/aws/prune-images.ts";
import { configPath } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { countText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import type { Screen, Terminal } from "./terminal.ts";

export interface ImagesPruneOptions {
  readonly config?: string;
  readonly deployment: string;
  readonly olderThanDays: number;
  readonly keep: number;
  readonly delete?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** What `mayfly images prune --json` prints. Fields are only ever added. */
export interface ImagesPruneDocument {
  readonly images: readonly {
    readonly id: string;
    readonly name: string;
    readonly createdAt: string | null;
    /** `deleted` only with `--delete`; without it, `would-be-deleted`. */
    readonly outcome: "kept" | "would-be-deleted" | "deleted";
    /** `old`, `in-use`, `young`, `newest`, `of-unknown-age` */
    readonly because: string;
    readonly snapshots: readonly string[];
  }[];
}

/**
 * `mayfly images prune`: which images of machines nobody needs any more; with `--delete`, they and their snapshots are
 * deleted. Without it nothing is changed. Only images in the region of the shell that bear the deployment's tag.
 */
export async function imagesPruneCommand(options: ImagesPruneOptions, terminal: Terminal): Promise<ExitCode> {
  const place = await openPlace(options);
  const decisions = await planPrune(place, options);
  const count = decisions.filter(({ isDeleted }) => isDeleted).length;
  const deletes = options.delete === true && count > 0;
  if (deletes && options.json !== true) {
    terminal.note(renderPrune(documentOf(decisions, new Map()), terminal.screen));
  }
  const deleted = new Map<string, readonly string[] | "in-use">();
  if (deletes && (await isConfirmed(options, count, terminal))) {
    for await (const { image, removed } of prune(place, decisions)) {
      deleted.set(image.id, removed === "in-use" ? removed : removed.snapshots);
    }
  }
  const document = documentOf(decisions, deleted);
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderPrune(document, terminal.screen));
  return exitCodes.ok;
}

async function openPlace(options: ImagesPruneOptions): Promise<PrunePlace> {
  const { policy } = await loadConfig({ path: configPath(options) });
  const environment = processEnvironment();
  const clock = createSystemClock();
  const random = createSystemRandom();
  const credentials = () => awsCredentials(environment);
  const client = createAwsClient({ ...awsPlace(environment), credentials, clock, random });
  const { deployment } = options;
  const { historySeconds } = policy.timing;
  const store = createDynamoStore({ client, table: deployment, clock, random, historySeconds });
  return { client, clock, store, policy, deployment };
}

async function isConfirmed(options: ImagesPruneOptions, count: number, terminal: Terminal): Promise<boolean> {
  if (options.yes === true) return true;
  if (!terminal.interactive) {
    throw new UsageError("Nobody is here to confirm that.", "Add --yes, or leave out --delete.");
  }
  return terminal.confirm(`Delete ${countText(count, "image")} and their snapshots?`);
}

function documentOf(
  decisions: readonly PruneDecision[],
  deleted: ReadonlyMap<string, readonly string[] | "in-use">,
): ImagesPruneDocument {
  return {
    images: decisions.map(({ image, isDeleted, because }) => {
      const done = deleted.get(image.id);
      const isGone = done !== undefined && done !== "in-use";
      return {
        id: image.id,
        name: image.name,
        createdAt: Number.isNaN(image.createdAt) ? null : new Date(image.createdAt).toISOString(),
        outcome: isGone ? "deleted" : isDeleted && done !== "in-use" ? "would-be-deleted" : "kept",
        because: done === "in-use" ? done : because,
        snapshots: isGone ? done : image.snapshots,
      };
    }),
  };
}

function renderPrune({ images }: ImagesPruneDocument, screen: Screen): string {
  if (images.length === 0) return "There are no images with this deployment's tag in this region.";
  const of = (outcome: string) => images.filter((image) => image.outcome === outcome).length;
  const wouldBe = of("would-be-deleted");
  const line =
    of("deleted") > 0
      ? `${countText(of("deleted"), "image")} deleted.`
      : wouldBe > 0
        ? `${countText(wouldBe, "image")} that nobody needs. \`mayfly images prune --delete\` deletes them.`
        : "Every image is needed, or young.";
  const table = renderTable(
    [
      { title: "IMAGE", cell: ({ id }) => id },
      { title: "NAME", cell: ({ name }) => printable(name), shrinksTo: 20 },
      { title: "MADE", cell: ({ createdAt }) => createdAt?.slice(0, 10) ?? "–" },
      { title: "OUTCOME", cell: ({ outcome }) => outcome },
      { title: "WHY", cell: ({ because }) => because },
    ],
    images,
    screen,
  );
  return `${table}\n\n${line}`;
}
