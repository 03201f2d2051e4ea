import { describe, expect, it } from "vitest";
import { type AppFacts, type DeliveryFacts, diagnoseApp, diagnoseDeliveries } from "./diagnosis.ts";

const permissions = {
  actions: "read",
  checks: "write",
  metadata: "read",
  organization_self_hosted_runners: "write",
};

function app(overrides: Partial<AppFacts> = {}): AppFacts {
  return {
    slug: "mayfly",
    permissions,
    events: ["workflow_job"],
    clockAheadSeconds: 0,
    webhook: { url: "https://mayfly.example.com/webhook", hasSecret: true, isJson: true, verifiesTls: true },
    installations: [{ account: "octo-org", suspended: false, permissions }],
    ...overrides,
  };
}

/** What is not well, each with its verdict. */
function found(
  overrides: Partial<AppFacts>,
  expected: Parameters<typeof diagnoseApp>[1] = { scope: "organization", publicUrl: undefined },
): readonly string[] {
  return diagnoseApp(app(overrides), expected)
    .filter(({ verdict }) => verdict !== "ok")
    .map(({ about, verdict }) => `${verdict}: ${about}`);
}

describe("an App", () => {
  it("that has all it needs has nothing to cure", () => {
    const findings = diagnoseApp(app(), {
      scope: "organization",
      publicUrl: "https://mayfly.example.com",
    });
    expect(findings.every(({ verdict, cure }) => verdict === "ok" && cure === null)).toBe(true);
  });

  it("needs the permission of its scope, and may do without checks", () => {
    expect(found({}, { scope: "repository", publicUrl: undefined })).toEqual([
      "problem: App: permission administration",
    ]);
    const { checks: _, ...fewer } = permissions;
    expect(found({ permissions: { ...fewer, actions: "none" } })).toEqual([
      "problem: App: permission actions",
      "warning: App: permission checks",
    ]);
    expect(found({ permissions: { ...permissions, organization_self_hosted_runners: "read" } })).toEqual([
      "problem: App: permission organization_self_hosted_runners",
    ]);
    expect(found({ permissions: { ...permissions, actions: "write" } })).toEqual([]);
  });

  it("is told of jobs, by a webhook that is signed and leads here", () => {
    const { webhook } = app();
    expect(found({ events: ["push"] })).toEqual(["problem: App: events"]);
    for (const broken of [{ url: undefined }, { hasSecret: false }, { isJson: false }]) {
      expect(found({ webhook: { ...webhook, ...broken } })).toEqual(["problem: App: webhook"]);
    }
    expect(found({ webhook: { ...webhook, verifiesTls: false } })).toEqual(["warning: App: webhook"]);
    expect(found({}, { scope: "organization", publicUrl: "https://other.example.com" })).toEqual([
      "warning: App: webhook",
    ]);
  });

  it("is installed somewhere, not suspended, with what its owner agreed to", () => {
    expect(found({ installations: [] })).toEqual(["problem: App: installations"]);
    const installation = { account: "octo-org", suspended: false, permissions };
    const about = "App: installation on octo-org";
    expect(found({ installations: [{ ...installation, suspended: true }] })).toEqual([`problem: ${about}`]);
    const { checks: _checks, ...withoutChecks } = permissions;
    expect(found({ installations: [{ ...installation, permissions: withoutChecks }] })).toEqual([
      `warning: ${about}`,
    ]);
    const { actions: _actions, ...withoutActions } = permissions;
    const { actions: __, ...withoutBoth } = withoutChecks;
    for (const fewer of [withoutActions, withoutBoth]) {
      expect(found({ installations: [{ ...installation, permissions: fewer }] })).toEqual([
        `problem: ${about}`,
      ]);
    }
  });

  it.each([
    [30, []],
    [31, ["problem: clock"]],
    [-31, ["problem: clock"]],
  ])("whose clock is %i s behind GitHub's", (clockAheadSeconds, expected) => {
    expect(found({ clockAheadSeconds })).toEqual(expected);
  });
});

describe("deliveries", () => {
  const delivery = (at: number, succeeded: boolean, event = "workflow_job"): DeliveryFacts => {
    return { deliveredAt: at, succeeded, event };
  };
  it.each([
    ["unknown", []],
    ["unknown", [delivery(1, false, "push")]],
    ["ok", [delivery(1, true), delivery(2, true)]],
    ["warning", [delivery(2, true), delivery(1, false)]],
    ["problem", [delivery(1, true), delivery(2, false)]],
  ] as const)("are %s when they went so: %j", (verdict, deliveries) => {
    expect(diagnoseDeliveries(deliveries).verdict).toBe(verdict);
  });
});

describe("a finding says what is wrong, and what to do", () => {
  const { webhook } = app();
  const installation = { account: "octo-org", suspended: false, permissions };
  const { checks: _, ...withoutChecks } = permissions;
  const { checks: __, actions: ___, ...fewer } = permissions;
  const elsewhere = { scope: "organization", publicUrl: "https://other.example.com/" } as const;
  const here = { scope: "organization", publicUrl: undefined } as const;

  it.each<[string, Partial<AppFacts>, Parameters<typeof diagnoseApp>[1], RegExp, RegExp]>([
    ["clock", { clockAheadSeconds: 90.4 }, here, /^This clock is 90 s behind GitHub's/, /NTP/],
    ["clock", { clockAheadSeconds: -31 }, here, /^This clock is 31 s ahead of GitHub's/, /NTP/],
    ["App: events", { events: [] }, here, /not subscribed to workflow jobs/, /subscribe to Workflow job/],
    [
      "App: permission actions",
      { permissions: { ...permissions, actions: "none" } },
      here,
      /^It has none and needs read\.$/,
      /Permissions & events/,
    ],
    [
      "App: permission checks",
      { permissions: withoutChecks },
      here,
      /^It has none and needs write\. A job that is given up is said/,
      /Permissions & events/,
    ],
    [
      "App: permission organization_self_hosted_runners",
      { permissions: { ...permissions, organization_self_hosted_runners: "read" } },
      here,
      /^It has read and needs write\.$/,
      /Permissions & events/,
    ],
    [
      "App: permission administration",
      {},
      { scope: "repository", publicUrl: undefined },
      /^It has none and needs write\.$/,
      /Permissions & events/,
    ],
    ["App: webhook", { webhook: { ...webhook, url: undefined } }, here, /no address/, /\/webhook/],
    [
      "App: webhook",
      { webhook: { ...webhook, hasSecret: false } },
      here,
      /no secret/,
      /secrets\.webhookSecret/,
    ],
    ["App: webhook", { webhook: { ...webhook, isJson: false } }, here, /not send JSON/, /application\/json/],
    ["App: webhook", {}, elsewhere, /mayfly\.example\.com.* at https:\/\/other\.example/, /Correct/],
    [
      "App: webhook",
      { webhook: { ...webhook, verifiesTls: false } },
      here,
      /certificate/,
      /SSL verification/,
    ],
    ["App: installations", { installations: [] }, here, /installed nowhere/, /Install App/],
    [
      "App: installation on octo-org",
      { installations: [{ ...installation, suspended: true }] },
      here,
      /suspended/,
      /Resume it/,
    ],
    [
      "App: installation on octo-org",
      { installations: [{ ...installation, permissions: fewer }] },
      here,
      /not agreed yet to: actions, checks\.$/,
      /owner finds the request/,
    ],
  ])("%s %j", (about, facts, expected, says, cure) => {
    const findings = diagnoseApp(app(facts), expected).filter(({ verdict }) => verdict !== "ok");
    expect(findings).toEqual([
      {
        about,
        verdict: findings[0]?.verdict,
        says: expect.stringMatching(says),
        cure: expect.stringMatching(cure),
      },
    ]);
  });

  it("of what is well says what it is", () => {
    const admin = { ...permissions, actions: "admin" };
    const findings = diagnoseApp(app({ permissions: admin }), {
      ...here,
      publicUrl: "https://mayfly.example.com/x",
    });
    expect(findings).toEqual([
      { about: "clock", verdict: "ok", says: "This clock and GitHub's agree.", cure: null },
      { about: "App: events", verdict: "ok", says: "It is told of workflow jobs.", cure: null },
      {
        about: "App: permission organization_self_hosted_runners",
        verdict: "ok",
        says: "It has write.",
        cure: null,
      },
      { about: "App: permission actions", verdict: "ok", says: "It has admin.", cure: null },
      { about: "App: permission checks", verdict: "ok", says: "It has write.", cure: null },
      { about: "App: webhook", verdict: "ok", says: `It goes to ${webhook.url}.`, cure: null },
      { about: "App: installation on octo-org", verdict: "ok", says: "It has what it needs.", cure: null },
    ]);
  });

  it("of an installation leaves out what the App itself lacks", () => {
    const facts = app({
      permissions: withoutChecks,
      installations: [{ ...installation, permissions: withoutChecks }],
    });
    expect(diagnoseApp(facts, here).at(-1)).toMatchObject({ verdict: "ok" });
  });

  it("of deliveries counts those that are ours, and says how the last one went", () => {
    const at = (deliveredAt: number, succeeded: boolean, event = "workflow_job") => ({
      deliveredAt,
      succeeded,
      event,
    });
    const says = (...deliveries: readonly DeliveryFacts[]) => diagnoseDeliveries(deliveries);
    const about = "webhook deliveries";
    expect(says()).toMatchObject({
      about,
      says: expect.stringMatching(/nothing/),
      cure: expect.stringMatching(/Advanced/),
    });
    expect(says(at(1, true), at(2, true, "ping"), at(3, false, "push"))).toEqual({
      ...{ about, verdict: "ok", says: "All 2 of the last hour arrived.", cure: null },
    });
    const failing = [at(1, true), at(3, false), at(2, true)];
    expect(says(...failing)).toMatchObject({
      ...{ about, says: "1 of 3 in the last hour failed, also the last one." },
      cure: expect.stringMatching(/Advanced/),
    });
    expect(says(...failing, at(4, true)).says).toBe("1 of 4 in the last hour failed, not the last one.");
  });
});
