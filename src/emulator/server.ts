import { createPublicKey, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Random } from "../ports/random.ts";
import type { Addresses } from "./document-source.ts";
import { answerApiRequest } from "./http-api.ts";
import { type HttpReply, readBody, sendReply } from "./http-exchange.ts";
import { GithubModel } from "./model.ts";
import type { Faults } from "./model-faults.ts";
import type { Limits } from "./model-limits.ts";
import type { App } from "./model-state.ts";
import type { EmulatorContext } from "./route.ts";
import { RunnerSessions } from "./runner-sessions.ts";
import { deliverWebhook, type WebhookTarget } from "./webhook-sender.ts";
import type { RunsOn } from "./workflow.ts";

export interface GithubEmulatorOptions {
  /** The public half of the App's key, as PEM. Requests of the App are checked against it. */
  readonly appPublicKey: string;
  readonly app?: Partial<App>;
  /** 0 or absent: any free port. The server listens on the loopback address only. */
  readonly port?: number;
  /** Where deliveries go. Without a target they are recorded as failed. */
  readonly webhook?: WebhookTarget;
  readonly limits?: Partial<Limits>;
  readonly faults?: Faults;
  readonly random: Random;
  readonly now?: () => number;
  /** Replaces the `runs-on` labels of every job of a workflow that is started. */
  readonly runsOn?: RunsOn;
  /** Added to the time of every answer of the API. */
  readonly latencyMilliseconds?: number;
  /** Called with what the steps of jobs print. */
  readonly onStepLog?: (jobId: number, text: string) => void;
}

/** A running emulator. Always `close` it: it holds a port, timers and open connections. */
export interface GithubEmulator {
  /** For instance `http://127.0.0.1:43117`. The API is there and under `/api/v3`. */
  readonly url: string;
  /** Use it to set the scene, and to look. After a change from outside call `wake`. */
  readonly model: GithubModel;
  readonly context: EmulatorContext;
  setWebhook(target: WebhookTarget | undefined): void;
  /** Does what became due: sends deliveries, tells runners about their jobs. */
  wake(): void;
  close(): Promise<void>;
}

/** Starts a GitHub for development on a port of the loopback interface. */
export async function startGithubEmulator(options: GithubEmulatorOptions): Promise<GithubEmulator> {
  const emulator = new EmulatorServer(options);
  await emulator.listen(options.port ?? 0);
  return emulator;
}

class EmulatorServer implements GithubEmulator {
  readonly model: GithubModel;
  readonly #options: GithubEmulatorOptions;
  readonly #server: Server;
  readonly #sessions: RunnerSessions;
  #appPublicKey: KeyObject;
  readonly #now: () => number;
  /** How many requests of each caller are being answered at this moment. */
  readonly #going = new Map<string, number>();
  #webhook: WebhookTarget | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #context: EmulatorContext | undefined;

  constructor(options: GithubEmulatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#webhook = options.webhook;
    this.#appPublicKey = createPublicKey(options.appPublicKey);
    this.model = new GithubModel({
      random: options.random,
      app: { createdAt: this.#now(), ...options.app },
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(options.faults === undefined ? {} : { faults: options.faults }),
    });
    this.#sessions = new RunnerSessions(this.model, this.#now, options.onStepLog);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        sendReply(response, { status: 500, body: { message: String(error) } });
      });
    });
  }

  get url(): string {
    return this.context.addresses.web;
  }

  get context(): EmulatorContext {
    if (this.#context === undefined) throw new Error("The emulator does not listen yet.");
    return this.#context;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    const url = `http://127.0.0.1:${portOf(this.#server)}`;
    const addresses: Addresses = { api: url, web: url };
    const publicKey = (): KeyObject => this.#appPublicKey;
    this.#context = {
      model: this.model,
      state: this.model.state,
      now: this.#now,
      addresses,
      get appPublicKey() {
        return publicKey();
      },
      webhookUrl: () => this.#webhook?.url,
      manifests: new Map(),
      replaceApp: (app, key, webhook) => {
        this.model.state.app = app;
        this.#appPublicKey = createPublicKey(key);
        const url = webhook.url ?? this.#webhook?.url;
        this.#webhook = url === undefined ? undefined : { url, secret: webhook.secret };
      },
      ...(this.#options.runsOn === undefined ? {} : { runsOn: this.#options.runsOn }),
    };
  }

  setWebhook(target: WebhookTarget | undefined): void {
    this.#webhook = target;
  }

  wake(): void {
    if (this.#isClosed) return;
    this.model.advance(this.#now());
    for (const effect of this.model.takeEffects()) {
      if (effect.kind === "deliver") this.#deliver(effect.deliveryId);
      else this.#sessions.tell(effect);
    }
    clearTimeout(this.#timer);
    const dueAt = this.model.nextDueAt();
    if (dueAt === undefined) return;
    const waitMilliseconds = Math.min(Math.max(dueAt - this.#now(), 1), 60_000);
    this.#timer = setTimeout(() => this.wake(), waitMilliseconds);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#sessions.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (path.startsWith("/_emulator/runner/")) {
      this.#sessions.answer(request, response, body, () => this.wake());
      this.wake();
      return;
    }
    const caller = request.headers.authorization ?? "";
    const going = (this.#going.get(caller) ?? 0) + 1;
    this.#going.set(caller, going);
    const reply = answerApiRequest(this.context, request, body, going);
    this.wake();
    await this.#send(request, response, reply);
    const left = (this.#going.get(caller) ?? 1) - 1;
    if (left === 0) this.#going.delete(caller);
    else this.#going.set(caller, left);
  }

  async #send(request: IncomingMessage, response: ServerResponse, reply: HttpReply): Promise<void> {
    const { latencyMilliseconds } = this.#options;
    if (latencyMilliseconds !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, latencyMilliseconds));
    }
    if (reply.isLost === true) request.socket.destroy();
    else sendReply(response, reply);
  }

  #deliver(deliveryId: number): void {
    const source = this.context;
    const timeoutSeconds = this.model.state.limits.deliveryTimeoutSeconds;
    const delivery = this.model.findDelivery(deliveryId);
    deliverWebhook(source, delivery, this.#webhook, timeoutSeconds).then((outcome) => {
      this.model.recordDelivery(deliveryId, outcome);
    });
  }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return address.port;
}
