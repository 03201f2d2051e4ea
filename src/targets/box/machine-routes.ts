import { refusal } from "../../adapters/http/refusal.ts";
import type { Route } from "../../adapters/http/router.ts";
import type { MachineReport, Policy } from "../../core/model.ts";
import { answerClaim, type ClaimAnswer } from "../../flow/claim.ts";
import { receiveReport } from "../../flow/lifecycle.ts";
import type { HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Ports } from "../../ports/ports.ts";

/**
 * The machine protocol: docs/reference/machine-protocol.md. A claim is answered once `caughtUp` has resolved, which
 * takes less time than an agent waits for its answer.
 */
export function machineRoutes(ports: Ports, policy: Policy, caughtUp?: Promise<void>): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/v1/machines/:id/claim",
      handle: async (request, { id = "" }) => {
        await caughtUp;
        return claimResponse(await answerClaim(ports, policy, id, { headers: request.headers }));
      },
    },
    {
      method: "POST",
      path: "/v1/machines/:id/report",
      handle: (request, { id = "" }) => report(ports, request, id),
    },
  ];
}

const whatToDo = "A machine whose claim is refused ends itself; there is nothing to do.";

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

async function report(ports: Ports, request: HttpRequest, machineId: string): Promise<HttpResponse> {
  const verdict = await ports.identity.verify(machineId, { headers: request.headers });
  if (verdict !== "proven") return refusal(401, verdict.unproven, whatToDo);
  if ((await ports.store.findMachine(machineId)) === undefined) {
    return refusal(404, "No machine of this id is known.", whatToDo);
  }
  const parsed = parseReport(new TextDecoder().decode(request.body));
  if (typeof parsed === "string") return refusal(422, parsed, "See docs/reference/machine-protocol.md.");
  await receiveReport(ports, machineId, parsed);
  return { status: 204, headers: {} };
}

const detailLengthLimit = 200;
const logLengthLimit = 16 * 1024;

/** The report, or a sentence that says what is wrong with it. */
function parseReport(body: string): MachineReport | string {
  const form = new URLSearchParams(body);
  switch (form.get("step")) {
    case "listening":
      return { step: "listening" };
    case "job-started":
      return { step: "job-started" };
    case "interrupted":
      return { step: "interrupted", detail: (form.get("detail") ?? "").slice(0, detailLengthLimit) };
    case "exited":
      return parseExit(form);
    default:
      return "The field step is none of listening, job-started, interrupted and exited.";
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
