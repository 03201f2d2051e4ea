import type { IncomingMessage } from "node:http";
import type { JobMessage } from "../job-message.ts";

// An import of node:http also loads its WebSocket, which takes longer than everything else here.
const { Agent, request } = process.getBuiltinModule("node:http");

export interface RunnerConfig {
  readonly serverUrl: string;
  readonly runnerName: string;
  readonly runnerId: string;
  readonly credential: string;
  readonly workFolder: string;
}

/** Reads a JIT configuration; undefined when it is none. */
export function readConfig(encoded: string): RunnerConfig | undefined {
  try {
    const files = decode(encoded);
    const runner = decode(String(files[".runner"]));
    const credentials = decode(String(files[".credentials"]));
    const data = Object(credentials.Data);
    const config = {
      serverUrl: String(runner.ServerUrl),
      runnerName: String(runner.AgentName),
      runnerId: String(runner.AgentId),
      credential: String(data.Token),
      workFolder: String(runner.WorkFolder ?? "_work"),
    };
    return URL.canParse(config.serverUrl) ? config : undefined;
  } catch {
    return undefined;
  }
}

export type AcquireAnswer =
  | { readonly kind: "job"; readonly message: JobMessage }
  | { readonly kind: "nothing" }
  | { readonly kind: "gone" }
  | { readonly kind: "conflict" | "trouble"; readonly reason: string };

export type JobConclusion = "success" | "failure" | "cancelled" | "skipped";

export interface JobEnd {
  readonly conclusion: JobConclusion;
  readonly outputs: Readonly<Record<string, string>>;
}

export interface StepUpdate {
  readonly number: number;
  readonly name: string;
  readonly status: "in_progress" | "completed";
  readonly conclusion?: JobConclusion;
  readonly log?: string;
}

/** The runner's side of the protocol that runner-sessions.ts describes. */
export class RunnerConnection {
  readonly #config: RunnerConfig;
  readonly #agent = new Agent({ keepAlive: true });
  /** Step updates are sent one after the other, while the steps run on. */
  #updates: Promise<unknown> = Promise.resolve();

  constructor(config: RunnerConfig) {
    this.#config = config;
  }

  /** Waits for a job, for up to a minute. */
  async acquire(stop: AbortSignal): Promise<AcquireAnswer> {
    const answer = await this.#post("acquire", {}, stop);
    if (answer.status === 200) return { kind: "job", message: JSON.parse(answer.text) };
    if (answer.status === 204) return { kind: "nothing" };
    if (answer.status === 404) return { kind: "gone" };
    if (answer.status === 409)
      return { kind: "conflict", reason: "A session for this runner already exists" };
    return { kind: "trouble", reason: `The server cannot be reached (${answer.status})` };
  }

  /** Whether the job is this runner's to run. `onCancel` is called when it should end early. */
  async startJob(jobId: number, onCancel: () => void): Promise<boolean> {
    const response = await this.#open(`jobs/${jobId}/start`, {}).catch(() => undefined);
    if (response === undefined) return false;
    if (response.statusCode !== 200) {
      response.resume();
      return false;
    }
    response.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("cancel")) onCancel();
    });
    response.on("error", () => {});
    return true;
  }

  /** Reports a step, without waiting for the answer. */
  updateStep(jobId: number, update: StepUpdate): void {
    this.#updates = this.#updates.then(() => this.#post(`jobs/${jobId}/steps`, update));
  }

  /** Reports the end of the job; false when the server does not take it. */
  async finishJob(jobId: number, end: JobEnd): Promise<boolean> {
    await this.#updates;
    for (let attempt = 1; attempt <= 5; attempt++) {
      const { status } = await this.#post(`jobs/${jobId}/finish`, end);
      if (status === 200) return true;
      if (status === 404) return false;
      await new Promise((resolve) => setTimeout(resolve, attempt * 500));
    }
    return false;
  }

  /** Status 0 when there was no answer. */
  async #post(path: string, body: unknown, stop?: AbortSignal): Promise<{ status: number; text: string }> {
    try {
      const response = await this.#open(path, body, stop);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
    } catch {
      return { status: 0, text: "" };
    }
  }

  #open(path: string, body: unknown, stop?: AbortSignal): Promise<IncomingMessage> {
    const { serverUrl, runnerId, credential } = this.#config;
    const text = JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${serverUrl}/_emulator/runner/${path}`,
        {
          method: "POST",
          agent: this.#agent,
          headers: {
            authorization: `Bearer ${runnerId}.${credential}`,
            "content-type": "application/json",
            "content-length": Buffer.byteLength(text),
          },
          ...(stop === undefined ? {} : { signal: stop }),
        },
        resolve,
      );
      outgoing.once("error", reject);
      outgoing.end(text);
    });
  }
}

function decode(encoded: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
}
