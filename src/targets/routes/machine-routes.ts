import { refusal } from "../../adapters/http/refusal.ts";
import type { Route, RouteHandler } from "../../adapters/http/router.ts";
import type { MachineName, MachineReport, Policy } from "../../core/model.ts";
import { askingMachine } from "../../flow/asking-machine.ts";
import { answerClaim, type ClaimAnswer } from "../../flow/claim.ts";
import { receiveReport } from "../../flow/lifecycle.ts";
import type { HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Ports as AllPorts } from "../../ports/ports.ts";

type Ports = Omit<AllPorts, "compute" | "secrets" | "prices" | "random">;

/**
 * The machine protocol: docs/reference/machine-protocol.md. A claim is answered once `caughtUp` has resolved, which
 * takes less time than an agent waits for its answer.
 */
export function machineRoutes(ports: Ports, policy: Policy, caughtUp?: Promise<void>): readonly Route[] {
  const claim: RouteHandler = async (request, parameters) => {
    await caughtUp;
    return claimResponse(await answerClaim(ports, policy, nameOf(parameters), request));
  };
  const receive: RouteHandler = (request, parameters) => report(ports, request, nameOf(parameters));
  return [
    { method: "POST", path: "/v1/machines/:id/claim", handle: claim },
    { method: "POST", path: "/v1/machines/:id/report", handle: receive },
    { method: "POST", path: "/v1/machines/:compute/:providerId/claim", handle: claim },
    { method: "POST", path: "/v1/machines/:compute/:providerId/report", handle: receive },
  ];
}

function nameOf({ id, compute = "", providerId = "" }: Readonly<Record<string, string>>): MachineName {
  return id ?? { compute, providerId };
}

const whatToDo = "A machine that is refused for good ends itself, one that is not known yet asks again.";

function claimResponse(answer: ClaimAnswer): HttpResponse {
  if (answer.kind === "refused") return refusal(answer.status, answer.because, whatToDo);
  return {
    status: 200,
    headers: { "content-type": "text/plain; charset=utf-8" },
    body: `${linesOf(answer).join("\n")}\n`,
  };
}

function linesOf(answer: Exclude<ClaimAnswer, { kind: "refused" }>): readonly string[] {
  switch (answer.kind) {
    case "run":
      return [
        "action=run",
        `jit-config=${answer.jitConfig.reveal()}`,
        `job-timeout-seconds=${answer.jobTimeoutSeconds}`,
        `idle-timeout-seconds=${answer.idleTimeoutSeconds}`,
      ];
    case "wait":
      return ["action=wait", `after-seconds=${answer.afterSeconds}`];
    case "shut-down":
      return ["action=shut-down", `because=${answer.because}`];
  }
}

async function report(ports: Ports, request: HttpRequest, name: MachineName): Promise<HttpResponse> {
  const machine = await askingMachine(ports, name, request);
  if ("because" in machine) return refusal(machine.status, machine.because, whatToDo);
  const parsed = parseReport(new TextDecoder().decode(request.body));
  if (typeof parsed === "string") return refusal(422, parsed, "See docs/reference/machine-protocol.md.");
  await receiveReport(ports, machine, parsed);
  return { status: 204, headers: {} };
}

const detailLengthLimit = 200;
const logLengthLimit = 16 * 1024;

/** The report, or a sentence that says what is wrong with it. */
function parseReport(body: string): MachineReport | string {
  const form = new URLSearchParams(body);
  const step = form.get("step");
  switch (step) {
    case "listening":
      return { step: "listening" };
    case "job-started":
      return { step: "job-started" };
    case "interrupted":
    case "at-risk":
      return { step, detail: (form.get("detail") ?? "").slice(0, detailLengthLimit) };
    case "exited":
      return parseExit(form);
    default:
      return "The field step is none of listening, job-started, interrupted, at-risk and exited.";
  }
}

function parseExit(form: URLSearchParams): MachineReport | string {
  const exitCode = form.get("exit-code") ?? "";
  const ranJob = form.get("ran-job");
  if (!/^\d{1,3}$/.test(exitCode)) return "The field exit-code is not a number from 0 to 999.";
  if (ranJob !== "true" && ranJob !== "false") return "The field ran-job is neither true nor false.";
  const log = form.get("log");
  return {
    step: "exited",
    exitCode: Number(exitCode),
    ranJob: ranJob === "true",
    ...(log !== null && log !== "" && { log: log.slice(-logLengthLimit) }),
  };
}
