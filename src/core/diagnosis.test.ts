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
    expect(found({ installations: [{ ...installation, permissions: withoutActions }] })).toEqual([
      `problem: ${about}`,
    ]);
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
