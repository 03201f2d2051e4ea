import { createAwsClient } from "../adapters/aws/client.ts";
import { createSystemClock } from "../adapters/clock/system.ts";
import {
  createSqsDeadLetters,
  type DeadLetter,
  type SqsDeadLetters,
} from "../adapters/queue/sqs-dead-letters.ts";
import { createSystemRandom } from "../adapters/random/system.ts";
import { awsCredentials, awsPlace } from "../config/aws.ts";
import { processEnvironment } from "../config/environment.ts";
import { type QueueName, queueNames, queues } from "../targets/aws/functions.ts";
import { summaryOfMessage } from "../targets/aws/messages.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { countText, relativeText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import type { Screen, Terminal } from "./terminal.ts";

export interface AwsRedriveOptions {
  readonly deployment: string;
  readonly queue?: string;
  readonly limit: number;
  readonly sendBack?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** What `mayfly aws redrive --json` prints. Fields are only ever added. */
export interface AwsRedriveDocument {
  readonly queues: readonly QueueLetters[];
}

export interface QueueLetters {
  readonly queue: QueueName;
  /** By SQS's own count, which is about right. */
  readonly dead: number;
  readonly messages: readonly {
    readonly id: string;
    readonly sentAt: string;
    /** One line; null when it is no message of Mayfly. Such a one stays where it is. */
    readonly what: string | null;
    readonly sentBack: boolean;
  }[];
}

/**
 * `mayfly aws redrive`: what lies among the dead letters; with `--send-back`, sent to its queue again. Without it
 * nothing is changed. 1 when something is left there.
 */
export async function awsRedriveCommand(options: AwsRedriveOptions, terminal: Terminal): Promise<ExitCode> {
  const found: Found[] = [];
  for (const queue of chosenQueues(options.queue)) {
    const letters = openDeadLetters(queueNames(options.deployment, queue));
    const dead = await letters.count();
    found.push({ queue, dead, letters, seen: dead === 0 ? [] : await letters.look(options.limit) });
  }
  const readable = found
    .flatMap(({ seen }) => seen)
    .filter(({ body }) => summaryOfMessage(body) !== undefined);
  const sends = options.sendBack === true && readable.length > 0;
  if (sends && options.json !== true)
    terminal.note(renderRedrive(documentOf(found, new Set()), terminal.screen));
  const confirmed = sends && (await isConfirmed(options, readable.length, terminal));
  const sentBack = new Set<string>();
  try {
    for (const { letters, seen } of confirmed ? found : []) {
      for (const letter of seen.filter(({ body }) => summaryOfMessage(body) !== undefined)) {
        await letters.sendBack(letter);
        sentBack.add(letter.id);
      }
    }
  } finally {
    // What stays is for the next one who looks.
    for (const { letters, seen } of found) await letters.leave(seen.filter(({ id }) => !sentBack.has(id)));
  }
  const document = documentOf(found, sentBack);
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderRedrive(document, terminal.screen));
  const left = document.queues.reduce((sum, { dead }) => sum + dead, 0) - sentBack.size;
  return left <= 0 ? exitCodes.ok : exitCodes.failed;
}

interface Found {
  readonly queue: QueueName;
  readonly dead: number;
  readonly letters: SqsDeadLetters;
  readonly seen: readonly DeadLetter[];
}

function chosenQueues(chosen: string | undefined): readonly QueueName[] {
  const names = Object.keys(queues) as QueueName[];
  return chosen === undefined ? names : names.filter((name) => name === chosen);
}

function openDeadLetters(names: ReturnType<typeof queueNames>): SqsDeadLetters {
  const environment = processEnvironment();
  const client = createAwsClient({
    ...awsPlace(environment),
    credentials: () => awsCredentials(environment),
    clock: createSystemClock(),
    random: createSystemRandom(),
  });
  return createSqsDeadLetters({ client, ...names });
}

async function isConfirmed(options: AwsRedriveOptions, count: number, terminal: Terminal): Promise<boolean> {
  if (options.yes === true) return true;
  if (!terminal.interactive) {
    throw new UsageError("Nobody is here to confirm that.", "Add --yes, or leave out --send-back.");
  }
  return terminal.confirm(`Send ${countText(count, "message")} back?`);
}

function documentOf(found: readonly Found[], sentBack: ReadonlySet<string>): AwsRedriveDocument {
  return {
    queues: found.map(({ queue, dead, seen }) => ({
      queue,
      dead,
      messages: seen.map(({ id, sentAt, body }) => ({
        id,
        sentAt: new Date(sentAt).toISOString(),
        what: summaryOfMessage(body) ?? null,
        sentBack: sentBack.has(id),
      })),
    })),
  };
}

export function renderRedrive(document: AwsRedriveDocument, screen: Screen): string {
  const messages = document.queues.flatMap(({ queue, messages }) =>
    messages.map((message) => ({ queue, ...message })),
  );
  const dead = document.queues.reduce((sum, queue) => sum + queue.dead, 0);
  if (dead === 0 && messages.length === 0) return "There are no dead letters.";
  const sentBack = messages.filter((message) => message.sentBack).length;
  const lines =
    sentBack > 0
      ? `${countText(sentBack, "message")} sent back.`
      : `${countText(dead, "dead letter")}. \`mayfly aws redrive --send-back\` sends them back, once their cause is gone.`;
  const table = renderTable(
    [
      { title: "QUEUE", cell: ({ queue }) => queue },
      { title: "SENT", cell: ({ sentAt }) => relativeText(sentAt, screen.now) },
      {
        title: "WHAT",
        cell: ({ what }) => printable(what ?? "no message of Mayfly; it stays"),
        shrinksTo: 20,
      },
      { title: "SENT BACK", cell: (message) => (message.sentBack ? "yes" : "no") },
    ],
    messages,
    screen,
  );
  return `${table}\n\n${lines}`;
}
