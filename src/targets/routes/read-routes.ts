import { jsonResponse, refusal } from "../../adapters/http/refusal.ts";
import type { Route, RouteHandler } from "../../adapters/http/router.ts";
import { traceRecord } from "../../core/job-trace.ts";
import type { Policy } from "../../core/model.ts";
import {
  iso,
  type JobStatus,
  jobStatus,
  type MachineStatus,
  machineStatus,
  type StatusDocument,
  waitContext,
} from "../../core/status.ts";
import { readMachine, readTrace, readWhy, terminateMachine } from "../../flow/status.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "../../ports/http.ts";
import type { Ports as AllPorts } from "../../ports/ports.ts";
import { forged, guard, mayBeForged } from "./guard.ts";
import { imageRoutes } from "./image-routes.ts";
import { metricsText } from "./metrics.ts";

type Ports = Pick<AllPorts, "store" | "work" | "secrets" | "images" | "clock" | "log">;

export interface ReadRoutesOptions {
  readonly ports: Ports;
  readonly policy: Policy;
  readonly readStatus: () => Promise<StatusDocument>;
  /** Whether a token is configured. Without one, only this machine may read. */
  readonly tokenConfigured: boolean;
  /** The status as a stream, where the target can hold connections open. */
  readonly events?: HttpHandler;
}

const listLimit = 1000;
const recentSeconds = 24 * 60 * 60;

/** What people and programs read, and the two things that they may do: end a machine, and order an image. */
export function readRoutes(options: ReadRoutesOptions): readonly Route[] {
  const { ports, policy, readStatus } = options;
  const guarded = (handle: RouteHandler): RouteHandler => guard(options, handle);
  const get = (path: string, handle: RouteHandler): Route => ({
    method: "GET",
    path,
    handle: guarded(handle),
  });
  return [
    get("/api/status", async () => jsonResponse(200, await readStatus())),
    ...(options.events === undefined ? [] : [get("/api/events", options.events)]),
    get("/api/jobs", async (request) => jsonResponse(200, { jobs: await listJobs(ports, request) })),
    get("/api/jobs/:id", async (_request, { id = "" }) => {
      const why = /^\d{1,15}$/.test(id) ? await readWhy(ports, policy, Number(id)) : undefined;
      if (why !== undefined) return jsonResponse(200, why);
      const next =
        "Check the id. A job that GitHub never told us of is found by the next sweep, within a minute.";
      return refusal(404, `No job ${id.slice(0, 20)} is known.`, next);
    }),
    get("/api/trace", (request) => answerTrace(ports, request)),
    get("/api/machines", async (request) =>
      jsonResponse(200, { machines: await listMachines(ports, request) }),
    ),
    get("/api/machines/:id", async (_request, { id = "" }) => {
      const machine = await readMachine(ports, id);
      return machine === undefined ? unknownMachine : jsonResponse(200, machine);
    }),
    {
      method: "POST",
      path: "/api/machines/:id/terminate",
      handle: guarded((request, { id = "" }) => terminate(ports, request, id)),
    },
    ...imageRoutes(ports, policy).map((route) => ({ ...route, handle: guarded(route.handle) })),
    get("/metrics", async () => ({
      status: 200,
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      body: metricsText(await readStatus(), await ports.store.counters()),
    })),
  ];
}

const unknownMachine = refusal(
  404,
  "No machine of this id is known.",
  "See `mayfly runners list` for the ids.",
);

async function listJobs(ports: Ports, request: HttpRequest): Promise<readonly JobStatus[]> {
  const now = ports.clock.now();
  const { state, limit } = readQuery(request);
  if (state === "recent") {
    const { jobs } = await ports.store.history(now - recentSeconds * 1000, limit);
    return jobs.map((job) => jobStatus(job, undefined, now));
  }
  const jobs: JobStatus[] = [];
  for (const fleet of await ports.store.activeFleets()) {
    const ledger = await ports.store.load(fleet);
    const context = waitContext(ledger, now);
    jobs.push(...ledger.jobs.map((job) => jobStatus(job, context, now)));
  }
  return jobs.sort((left, right) => (left.createdAt < right.createdAt ? -1 : 1)).slice(0, limit);
}

const traceHoursLimit = 24;

/** In parts, so that no answer gets too big and nobody else waits for long. */
async function answerTrace(ports: Ports, request: HttpRequest): Promise<HttpResponse> {
  const query = new URLSearchParams(request.query);
  const [from, until] = ["from", "until"].map((name) => Date.parse(query.get(name) ?? ""));
  const hours = ((until ?? Number.NaN) - (from ?? Number.NaN)) / 3_600_000;
  if (from === undefined || until === undefined || !(hours > 0 && hours <= traceHoursLimit)) {
    const next = `Ask for from=<instant>&until=<instant>, at most ${traceHoursLimit} hours apart.`;
    return refusal(400, "The query does not say from when until when.", next);
  }
  const { jobs, neverRan } = await readTrace(ports, from, until);
  return jsonResponse(200, { jobs: jobs.map(traceRecord), neverRan });
}

async function listMachines(ports: Ports, request: HttpRequest): Promise<readonly MachineStatus[]> {
  const now = ports.clock.now();
  const { state, limit } = readQuery(request);
  if (state === "recent") {
    const { machines } = await ports.store.history(now - recentSeconds * 1000, limit);
    return machines.map((machine) => machineStatus(machine, now));
  }
  const machines: MachineStatus[] = [];
  for (const fleet of await ports.store.activeFleets()) {
    const ledger = await ports.store.load(fleet);
    machines.push(...ledger.machines.map((machine) => machineStatus(machine, now)));
  }
  return machines.slice(0, limit);
}

function readQuery(request: HttpRequest): { readonly state: "active" | "recent"; readonly limit: number } {
  const query = new URLSearchParams(request.query);
  const limit = Number(query.get("limit") ?? "100");
  return {
    state: query.get("state") === "recent" ? "recent" : "active",
    limit: Number.isInteger(limit) && limit > 0 ? Math.min(limit, listLimit) : 100,
  };
}

async function terminate(ports: Ports, request: HttpRequest, id: string): Promise<HttpResponse> {
  if (mayBeForged(request)) return forged;
  const forced = readForce(request.body);
  if (forced === undefined)
    return refusal(400, 'The body is not {"force": true|false}.', "Send such a body.");
  const result = await terminateMachine(ports, id, forced);
  if (result === "unknown") return unknownMachine;
  return jsonResponse(200, { result, at: iso(ports.clock.now()) });
}

function readForce(body: Uint8Array): boolean | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value !== "object" || value === null || !("force" in value)) return undefined;
    return typeof value.force === "boolean" ? value.force : undefined;
  } catch {
    // Not JSON: the caller says so.
    return undefined;
  }
}
