import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSystemClock } from "../adapters/clock/system.ts";
import { createFileSecrets } from "../adapters/secrets/files.ts";
import { loadConfig, readEnvironmentVariable } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import { signatureOf } from "../core/webhook.ts";
import { exchange } from "./api-client.ts";
import { type ConnectionOptions, configPath, serverUrl } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { type Terminal, terminalLog } from "./terminal.ts";

export interface ReceiveOptions extends Omit<ConnectionOptions, "tokenFile"> {
  readonly json?: boolean;
  readonly event?: string;
}

/** What `mayfly receive --json` prints. Fields are only ever added. */
export interface ReceiveDocument {
  readonly url: string;
  readonly delivery: string;
  readonly event: string;
  readonly status: number;
  readonly accepted: boolean;
  readonly answer: string;
}

/** `mayfly receive <file>`: sends a saved delivery again, signed anew; 0 when the server took it. */
export async function receiveCommand(
  file: string,
  options: ReceiveOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const saved = readDelivery(await readSaved(file), file);
  const path = configPath(options);
  const { config } = await loadConfig({ path });
  const secrets = createFileSecrets({
    places: { "webhook-secret": config.secrets.webhookSecret },
    readEnvironment: readEnvironmentVariable,
    clock: createSystemClock(),
    log: terminalLog(terminal),
  });
  const [secret] = await secrets.read("webhook-secret");
  if (secret === undefined) throw new Error("The secrets adapter promised at least one value.");
  const url = await serverUrl({ ...options, config: path });
  const event = options.event ?? saved.event;
  const answer = await exchange(
    { url },
    {
      method: "POST",
      path: "/webhook",
      headers: {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/mayfly-receive",
        "x-github-event": event,
        "x-github-delivery": saved.delivery,
        "x-hub-signature-256": signatureOf(saved.body, secret),
      },
      body: saved.body,
    },
  );
  const accepted = answer.status >= 200 && answer.status < 300;
  const text = answer.text.trim();
  const document: ReceiveDocument = {
    url: `${url}/webhook`,
    delivery: saved.delivery,
    event,
    status: answer.status,
    accepted,
    answer: text,
  };
  if (options.json === true) terminal.printJson(document);
  else terminal.print(`${answer.status} ${printable(text)}`);
  return accepted ? exitCodes.ok : exitCodes.failed;
}

export interface SavedDelivery {
  readonly event: string;
  readonly delivery: string;
  /** The bytes to sign and to send: those of the file where it is the body alone. */
  readonly body: Uint8Array;
}

/**
 * A file is the body alone, `{ headers, body }`, or what GitHub's API gives of a delivery: `{ request: { headers,
 * payload } }`. The event comes from the headers, or from what the body looks like.
 */
export function readDelivery(bytes: Uint8Array, file: string): SavedDelivery {
  const value = parseObject(bytes, file);
  const request = isObject(value.request) ? value.request : value;
  const content = request.body ?? request.payload;
  const wrapped = isObject(request.headers) && content !== undefined;
  const headers = wrapped ? lowerCase(request.headers as Fields) : {};
  const body = wrapped ? Buffer.from(typeof content === "string" ? content : JSON.stringify(content)) : bytes;
  const payload = wrapped ? (isObject(content) ? content : parseObject(body, file)) : value;
  return {
    event: headers["x-github-event"] ?? eventOf(payload),
    delivery: headers["x-github-delivery"] ?? randomUUID(),
    body,
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** Bodies do not name their event; the main field does, in the order of the more special first. */
function eventOf(payload: Fields): string {
  const known = ["workflow_job", "workflow_run", "check_run", "check_suite"];
  const found = known.find((name) => isObject(payload[name]));
  if (found !== undefined) return found;
  return "zen" in payload ? "ping" : "workflow_job";
}

function lowerCase(headers: Fields): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
}

function parseObject(bytes: Uint8Array, file: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw notADelivery(file, error instanceof Error ? error.message : String(error), error);
  }
  if (isObject(value)) return value;
  throw notADelivery(file, "it is not a JSON object");
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readSaved(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw notADelivery(file, error instanceof Error ? error.message : String(error), error);
  }
}

function notADelivery(file: string, reason: string, cause?: unknown): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "DELIVERY_UNREADABLE",
    message: `The delivery ${file} cannot be read: ${reason}.`,
    suggestion:
      "Save the payload of a delivery from the App's page of recent deliveries, or { headers, body }, as JSON.",
    cause,
  });
}
