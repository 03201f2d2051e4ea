import type { IncomingMessage, ServerResponse } from "node:http";
import { sendReply } from "./http-exchange.ts";
import { type JobMessage, jobMessage } from "./job-message.ts";
import type { GithubModel } from "./model.ts";
import type { Conclusion, Effect, JobStep, Runner } from "./model-state.ts";
import { GithubRefusal } from "./refusal.ts";

/**
 * The connections of runners, in a protocol of our own under `/_emulator/runner/`:
 *
 *   POST acquire             waits for a job: 200 with the job, 204 after a while without one, 404 when GitHub
 *                            does not know the runner any more
 *   POST jobs/{id}/start     the job starts; the answer stays open and says `cancel` when it should end
 *   POST jobs/{id}/steps     the state of one step and what it printed
 *   POST jobs/{id}/finish    the job's conclusion; the runner is removed
 *
 * The runner names itself with `Bearer <runner id>.<credential>`. An open connection is what makes it online: a
 * runner that is killed closes it.
 */
export class RunnerSessions {
  readonly #model: GithubModel;
  readonly #now: () => number;
  readonly #onStepLog: ((jobId: number, text: string) => void) | undefined;
  readonly #polls = new Map<number, ServerResponse>();
  readonly #watches = new Map<number, ServerResponse>();

  constructor(
    model: GithubModel,
    now: () => number,
    onStepLog: ((jobId: number, text: string) => void) | undefined,
  ) {
    this.#model = model;
    this.#now = now;
    this.#onStepLog = onStepLog;
  }

  /** Answers a request of a runner, now or when there is something to say. */
  answer(
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer | undefined,
    wake: () => void,
  ): void {
    try {
      const runner = this.#authenticate(request);
      const path = (request.url ?? "").replace("/_emulator/runner/", "");
      if (path === "acquire") {
        this.#acquire(runner, response, wake);
        return;
      }
      const [, jobId, operation] = /^jobs\/(\d+)\/(start|steps|finish)$/.exec(path) ?? [];
      if (jobId === undefined) throw new GithubRefusal(404, "Not Found");
      const fields: unknown = JSON.parse(body === undefined || body.length === 0 ? "{}" : body.toString());
      if (operation === "start") this.#start(runner, Number(jobId), response, wake);
      else if (operation === "steps") this.#step(Number(jobId), fields, response);
      else this.#finish(runner, Number(jobId), fields, response);
    } catch (error) {
      if (error instanceof GithubRefusal)
        sendReply(response, { status: error.status, body: { message: error.message } });
      else sendReply(response, { status: 400, body: { message: "Problems parsing JSON" } });
    }
  }

  /** Tells a runner what the model says, if it is connected. */
  tell(effect: Exclude<Effect, { kind: "deliver" }>): void {
    const poll = this.#polls.get(effect.runnerId);
    const watch = this.#watches.get(effect.runnerId);
    if (effect.kind === "job-assigned" && poll !== undefined) {
      sendReply(poll, { status: 200, body: this.#message(effect.jobId) });
    }
    if (effect.kind === "job-cancelled") watch?.write("cancel\n");
    if (effect.kind === "runner-removed") {
      if (poll !== undefined) sendReply(poll, { status: 404, body: { message: "runner removed" } });
      if (effect.because !== "job-done") watch?.write("cancel\n");
      watch?.end();
    }
  }

  close(): void {
    for (const response of [...this.#polls.values(), ...this.#watches.values()]) response.destroy();
  }

  #authenticate(request: IncomingMessage): Runner {
    const [, id, credential] = /^Bearer (\d+)\.([0-9a-f]+)$/.exec(request.headers.authorization ?? "") ?? [];
    const runner = this.#model.state.runners.get(Number(id));
    if (runner === undefined || runner.credential !== credential) {
      throw new GithubRefusal(404, "The runner no longer exists on the server");
    }
    return runner;
  }

  #acquire(runner: Runner, response: ServerResponse, wake: () => void): void {
    if (this.#polls.has(runner.id)) throw new GithubRefusal(409, "A session for this runner already exists.");
    this.#polls.set(runner.id, response);
    const timeout = setTimeout(() => sendReply(response, { status: 204 }), 50_000);
    timeout.unref();
    response.once("close", () => {
      clearTimeout(timeout);
      this.#polls.delete(runner.id);
      this.#model.disconnectRunner(this.#now(), runner.id);
      wake();
    });
    const { jobId } = runner;
    this.#model.connectRunner(this.#now(), runner.id);
    if (jobId !== undefined) sendReply(response, { status: 200, body: this.#message(jobId) });
  }

  #start(runner: Runner, jobId: number, response: ServerResponse, wake: () => void): void {
    this.#model.pickUpJob(this.#now(), runner.id, jobId);
    this.#model.connectRunner(this.#now(), runner.id);
    this.#watches.set(runner.id, response);
    response.once("close", () => {
      this.#watches.delete(runner.id);
      this.#model.disconnectRunner(this.#now(), runner.id);
      wake();
    });
    response.writeHead(200, { "content-type": "text/plain" });
    response.write("started\n");
  }

  #step(jobId: number, fields: unknown, response: ServerResponse): void {
    const report = readStepReport(fields);
    this.#model.reportStep(this.#now(), jobId, report);
    if (report.log !== "") this.#onStepLog?.(jobId, report.log);
    sendReply(response, { status: 200, body: {} });
  }

  #finish(runner: Runner, jobId: number, fields: unknown, response: ServerResponse): void {
    const { conclusion, outputs } = readFields(fields);
    const texts = Object.entries(Object(outputs)).map(([name, text]) => [name, String(text)]);
    const end = readConclusion(conclusion);
    this.#model.finishJob(this.#now(), runner.id, jobId, end, Object.fromEntries(texts));
    sendReply(response, { status: 200, body: {} });
  }

  #message(jobId: number): JobMessage {
    const job = this.#model.findJob(jobId);
    return jobMessage(this.#model.state, job);
  }
}

interface ReadStepReport {
  readonly number: number;
  readonly name: string;
  readonly status: JobStep["status"];
  readonly conclusion: JobStep["conclusion"];
  readonly log: string;
}

function readStepReport(value: unknown): ReadStepReport {
  const fields = readFields(value);
  const { status } = fields;
  const conclusion = readConclusion(fields.conclusion);
  return {
    number: Number(fields.number),
    name: String(fields.name),
    status: status === "in_progress" || status === "completed" ? status : "queued",
    conclusion: conclusion === "timed_out" ? "failure" : conclusion,
    log: typeof fields.log === "string" ? fields.log : "",
  };
}

function readConclusion(value: unknown): Conclusion {
  if (value === "failure" || value === "cancelled" || value === "skipped") return value;
  return value === "timed_out" ? "timed_out" : "success";
}

function readFields(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw new GithubRefusal(400, "Problems parsing JSON");
  return { ...value };
}
