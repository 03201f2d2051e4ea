import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { SignedRequest } from "./signature-verifier.ts";

/** What one request of a machine is answered with. `hang-up` closes the connection without an answer. */
export type StubAnswer = { readonly status: number; readonly body?: string } | "hang-up";

export interface MachineRequest extends SignedRequest {
  /** What the machine calls itself: its id, or its compute and provider id. */
  readonly machineId: string;
  readonly what: string;
  readonly authorization: string | undefined;
  readonly form: Readonly<Record<string, string>>;
  readonly atMilliseconds: number;
}

export interface StubControlPlane {
  readonly url: string;
  readonly requests: readonly MachineRequest[];
  /** The steps that were reported and accepted, in the order of their arrival. */
  steps(machineId?: string): readonly string[];
  lastReport(step: string): Readonly<Record<string, string>> | undefined;
  close(): Promise<void>;
}

export interface StubScript {
  /** Answers to the claims, in order; the last one is repeated. */
  readonly claims: readonly StubAnswer[];
  /** Answers to the reports, by step; the last one is repeated. Without an entry: 204. */
  readonly reports?: Readonly<Record<string, readonly StubAnswer[]>>;
}

/** The machine protocol with scripted answers (docs/reference/machine-protocol.md). */
export async function startStubControlPlane(script: StubScript): Promise<StubControlPlane> {
  const requests: MachineRequest[] = [];
  const accepted: MachineRequest[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const [, machineId = "", what = ""] = /^\/v1\/machines\/(.+)\/(\w+)$/.exec(request.url ?? "") ?? [];
    const seen: MachineRequest = {
      method: request.method ?? "",
      path: request.url ?? "",
      query: "",
      headers: joined(request.headersDistinct),
      body,
      machineId,
      what,
      authorization: request.headers.authorization,
      form: Object.fromEntries(new URLSearchParams(body)),
      atMilliseconds: performance.now(),
    };
    const answer = answerTo(script, requests, seen);
    requests.push(seen);
    if (answer === "hang-up") {
      request.socket.destroy();
      return;
    }
    if (what === "report" && answer.status < 300) accepted.push(seen);
    response.writeHead(answer.status, { "content-type": "text/plain" }).end(answer.body ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    steps: (machineId) =>
      accepted
        .filter((one) => machineId === undefined || one.machineId === machineId)
        .map((one) => one.form.step ?? "?"),
    lastReport: (step) => accepted.findLast((one) => one.form.step === step)?.form,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function joined(headers: NodeJS.Dict<string[]>): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values?.join(",")]));
}

function answerTo(
  script: StubScript,
  earlier: readonly MachineRequest[],
  request: MachineRequest,
): StubAnswer {
  const same = earlier.filter(
    (one) =>
      one.machineId === request.machineId && one.what === request.what && one.form.step === request.form.step,
  );
  const answers =
    request.what === "claim" ? script.claims : (script.reports?.[request.form.step ?? ""] ?? []);
  return answers[Math.min(same.length, answers.length - 1)] ?? { status: 204 };
}

export const stubJitConfig = Buffer.from(
  JSON.stringify({ ".runner": "a stub of a registration, long enough to be recognised in a log" }),
).toString("base64");

/** The answer that gives a machine its work. */
export function runAnswer(
  limits: { jobTimeoutSeconds?: number; idleTimeoutSeconds?: number; jitConfig?: string } = {},
): StubAnswer {
  return {
    status: 200,
    body: [
      "action=run",
      `jit-config=${limits.jitConfig ?? stubJitConfig}`,
      `job-timeout-seconds=${limits.jobTimeoutSeconds ?? 600}`,
      `idle-timeout-seconds=${limits.idleTimeoutSeconds ?? 0}`,
      "",
    ].join("\n"),
  };
}
