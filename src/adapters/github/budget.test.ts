import { expect, test } from "vitest";
import { createManualClock } from "../clock/manual.ts";
import type { Answer } from "./answer.ts";
import { type BudgetedRequest, type BudgetLimits, createRequestBudget, type Priority } from "./budget.ts";

function makeBudget(options: { limited?: boolean; limits?: Partial<BudgetLimits> } = {}) {
  const clock = createManualClock();
  const budget = createRequestBudget({
    clock,
    limited: options.limited ?? true,
    ...(options.limits !== undefined && { limits: options.limits }),
  });
  const ask = async (overrides: Partial<BudgetedRequest> = {}, reply: Partial<Answer> = {}) => {
    const permit = await budget.admit({ ...request("sweep"), ...overrides });
    return permit.settle({ status: 200, headers: {}, data: undefined, ...reply });
  };
  /** How many get through, and when the first that does not may come back, in seconds from now. */
  const flood = async (overrides: Partial<BudgetedRequest>, reply?: Partial<Answer>) => {
    for (let count = 0; count < 2_000; count++) {
      try {
        await ask(overrides, reply);
      } catch (error) {
        const { kind, retryAt } = error as { kind: string; retryAt: number };
        expect(kind).toBe("wait");
        return { count, againInSeconds: (retryAt - clock.now()) / 1000 };
      }
    }
    return { count: 2_000, againInSeconds: 0 };
  };
  return { clock, budget, ask, flood };
}

function request(priority: Priority): BudgetedRequest {
  return {
    what: "test the budget",
    caller: 7,
    priority,
    method: "GET",
    endpoint: "/orgs/{org}/actions/runners",
    resource: "core",
  };
}

const mint: Partial<BudgetedRequest> = {
  priority: "mint",
  method: "POST",
  endpoint: "/orgs/{org}/actions/runners/generate-jitconfig",
  resource: "actions_runner_registration",
};

function rateHeaders(remaining: number, resetSeconds: number, resource = "core"): Answer["headers"] {
  return {
    "x-ratelimit-limit": "5000",
    "x-ratelimit-remaining": String(remaining),
    "x-ratelimit-reset": String(resetSeconds),
    "x-ratelimit-resource": resource,
  };
}

const refusedBy = (message: string, headers: Answer["headers"] = {}): Partial<Answer> => ({
  status: 403,
  headers,
  data: { message },
});

test("150 registrations fit into any minute, whoever else asks for what", async () => {
  const { clock, flood } = makeBudget();
  expect(await flood(mint)).toEqual({ count: 150, againInSeconds: 60 });
  expect((await flood({ priority: "fence" })).count).toBeGreaterThan(500);
  expect((await flood({ ...mint, caller: 8 })).count).toBe(150);
  await clock.advance(59_999);
  expect((await flood(mint)).count).toBe(0);
  await clock.advance(1);
  expect((await flood(mint)).count).toBe(150);
});

test("no window of 60 seconds has more than its points, wherever it begins", async () => {
  const { clock, ask } = makeBudget();
  const spent: number[] = [];
  for (let second = 0; second < 200; second++) {
    for (let count = 0; count < 10; count++) {
      await ask(mint).then(
        () => spent.push(clock.now()),
        () => undefined,
      );
    }
    await clock.advance(1_000);
  }
  for (const start of spent) {
    expect(spent.filter((at) => at >= start && at < start + 60_000).length).toBeLessThanOrEqual(150);
  }
  expect(spent.length).toBeGreaterThan(450);
});

test("the sweep stops first, then the fence; a registration never waits for the hour of others", async () => {
  const { clock, ask, flood } = makeBudget({
    limits: { pointsPerMinute: { mint: 1e9, fence: 1e9, sweep: 1e9 } },
  });
  const reset = clock.now() / 1000 + 1_200;
  await ask({}, { headers: rateHeaders(600, reset) });
  expect(await flood({ priority: "sweep" })).toEqual({ count: 100, againInSeconds: 1_200 });
  expect(await flood({ priority: "fence" })).toEqual({ count: 400, againInSeconds: 1_200 });
  expect((await flood({ priority: "mint" })).count).toBe(100);
  await ask(mint);
  await clock.advance(1_200_000);
  expect((await flood({ priority: "sweep" })).count).toBe(2_000);
});

test("answers that overtake each other do not raise what is left", async () => {
  const { clock, budget, ask } = makeBudget();
  const reset = clock.now() / 1000 + 60;
  const remaining = () => budget.report()[0]?.remaining;
  await ask({}, { headers: rateHeaders(4_000, reset) });
  await ask({}, { headers: rateHeaders(4_500, reset) });
  expect(remaining()).toBe(3_999);
  await ask({}, { status: 304, headers: rateHeaders(3_999, reset) });
  expect(remaining()).toBe(3_999);
  await ask({}, { headers: rateHeaders(4_999, reset + 3_600) });
  expect(remaining()).toBe(4_999);
  await clock.advance(2 * 3_600_000);
  expect(remaining()).toBe(5_000);
});

test("Retry-After of a secondary limit stops everything of this installation, and of no other", async () => {
  const { clock, ask, flood } = makeBudget();
  const message = "You have exceeded a secondary rate limit.";
  const retryAt = await ask({}, refusedBy(message, { "retry-after": "90" }));
  expect(retryAt).toBe(clock.now() + 90_000);
  expect(await flood(mint)).toEqual({ count: 0, againInSeconds: 90 });
  await ask({ ...mint, caller: 8 });
  await clock.advance(90_000);
  expect((await flood(mint)).count).toBe(150);
});

test("Retry-After of one operation does not stop the fence", async () => {
  const { ask, flood } = makeBudget();
  const reply = {
    status: 429,
    headers: { "retry-after": "200" },
    data: { message: "Too many registrations." },
  };
  await ask(mint, reply);
  expect(await flood(mint)).toEqual({ count: 0, againInSeconds: 200 });
  await ask({ priority: "fence", method: "DELETE", endpoint: "/orgs/{org}/actions/runners/{runner_id}" });
});

test("without Retry-After the pause is the bucket's reset, else a minute that doubles up to a quarter of an hour", async () => {
  const { clock, ask } = makeBudget();
  const reset = clock.now() / 1000 + 500;
  const exceeded = "API rate limit exceeded for installation ID 7.";
  expect(await ask({}, refusedBy(exceeded, rateHeaders(0, reset)))).toBe(reset * 1000);
  await clock.advance(500_000);
  const pauses = [];
  for (let count = 0; count < 6; count++) {
    const until = await ask({}, refusedBy("rate limit"));
    pauses.push((until! - clock.now()) / 1000);
    await clock.advance(until! - clock.now());
  }
  expect(pauses).toEqual([120, 240, 480, 900, 900, 900]);
  await ask();
  expect(await ask({}, refusedBy("rate limit"))).toBe(clock.now() + 60_000);
  const forever = await ask({ caller: 9 }, { status: 429, headers: { "retry-after": "9999999" } });
  expect(forever).toBe(clock.now() + 2 * 3_600_000);
});

test("a 403 for another reason is no rate limit, and wrong headers are no headers", async () => {
  const { ask, budget, flood } = makeBudget();
  const headers = { "x-ratelimit-limit": "many", "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "" };
  expect(await ask({}, refusedBy("Resource not accessible by integration", headers))).toBeUndefined();
  expect(budget.report()).toEqual([]);
  expect((await flood({ priority: "fence" })).count).toBeGreaterThan(500);
});

test("a server without rate limits is not limited, until it shows that it has some", async () => {
  const { clock, ask, flood } = makeBudget({ limited: false });
  expect((await flood(mint)).count).toBe(2_000);
  await ask({}, { headers: rateHeaders(4_000, clock.now() / 1000 + 60) });
  expect((await flood(mint)).count).toBe(150);
});

test("when all places are taken, the more important go first and nobody is lost", async () => {
  const { budget } = makeBudget({ limits: { concurrent: { mint: 2, fence: 2, sweep: 1 }, waiting: 4 } });
  const first = [await budget.admit(request("sweep")), await budget.admit(request("mint"))];
  const order: string[] = [];
  const wanted: Priority[] = ["sweep", "fence", "mint", "mint"];
  const waiting = wanted.map(async (priority) => {
    const permit = await budget.admit(request(priority));
    order.push(priority);
    permit.settle(undefined);
  });
  expect(() => budget.admit(request("mint"))).toThrowError(expect.objectContaining({ kind: "wait" }));
  for (const permit of first) permit.settle(undefined);
  await Promise.all(waiting);
  expect(order).toEqual(["mint", "mint", "fence", "sweep"]);
});
