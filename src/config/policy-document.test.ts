import { expect, it } from "vitest";
import { checkConfig } from "./load.ts";
import { policyDocument, readPolicyDocument } from "./policy-document.ts";

const onAws = `
github: { appId: 5, server: https://github.example.com }
server: { logLevel: debug }
presets:
  linux:
    architecture: arm64
    compute: ec2
    instanceTypes: [m7g.large]
    jobTimeoutMinutes: 30
`;

it("a function reads what was resolved when it was packaged, and nothing of where secrets are kept", () => {
  const { loaded, problems } = checkConfig(onAws, { path: "mayfly.yaml", environment: {} });
  expect(problems).toEqual([]);
  const document = policyDocument(loaded!, "1.2.3");
  expect(readPolicyDocument(JSON.stringify(document))).toEqual({
    format: 1,
    version: "1.2.3",
    github: { server: "https://github.example.com", appId: 5 },
    logLevel: "debug",
    policy: loaded!.policy,
    ec2: { linux: {} },
    fargate: { linux: {} },
  });
  expect(document.policy.presets).toMatchObject([{ jobTimeoutSeconds: 1800, market: "spot-preferred" }]);
});

it.each(["", "[", "null", "{}", '{"format":2}'])(
  "%j is no policy document, which is said at once",
  (text) => {
    expect(() => readPolicyDocument(text)).toThrowError(
      expect.objectContaining({ kind: "operator", code: "POLICY_DOCUMENT_UNUSABLE" }),
    );
  },
);

it("a box needs its secrets in the configuration", () => {
  const { problems } = checkConfig(onAws.replace("ec2", "local"), { path: "mayfly.yaml", environment: {} });
  expect(problems.map(({ path }) => path)).toEqual(["secrets.webhookSecret", "secrets.appPrivateKey"]);
});
