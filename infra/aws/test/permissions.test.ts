import { describe, expect, it } from "vitest";
import { functions } from "../../../src/targets/aws/functions.ts";
import { type Fields, readTemplate, resolveTemplate } from "./cloudformation.ts";
import { policyDifferences, type Statement, withoutOneLine } from "./policies.ts";

const resolved = resolveTemplate(readTemplate());
const roles = resolved.ofType("AWS::IAM::Role");

function policyOfRole(name: string): readonly Statement[] {
  const role = roles.find(({ RoleName }) => RoleName === `mayfly-${name}`);
  return role?.Policies?.flatMap(({ PolicyDocument }: Fields) => PolicyDocument.Statement) ?? [];
}

describe("the roles of the template", () => {
  it.each(functions)("$name may do what its code calls, and nothing else", ({ name }) => {
    expect(policyDifferences(name, policyOfRole(name))).toEqual([]);
  });

  it.each(functions)("$name without any one line of its policy is found out", ({ name }) => {
    let lines = 0;
    for (const lacking of withoutOneLine(policyOfRole(name))) {
      lines += 1;
      expect(policyDifferences(name, lacking)).not.toEqual([]);
    }
    expect(lines).toBeGreaterThan(5);
  });

  it("gives no function a role that another service or account may take on", () => {
    for (const { RoleName, AssumeRolePolicyDocument } of roles) {
      const service = RoleName === "mayfly-machine" ? "ec2.amazonaws.com" : "lambda.amazonaws.com";
      expect(AssumeRolePolicyDocument.Statement).toEqual([
        { Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" },
      ]);
    }
  });

  it("lets a machine call the routes of machines, and nothing else", () => {
    expect(policyOfRole("machine")).toEqual([]);
    expect(resolved.ofType("AWS::IAM::RolePolicy")).toEqual([
      expect.objectContaining({
        RoleName: "mayfly-machine",
        PolicyDocument: {
          Version: "2012-10-17",
          Statement: [
            {
              Effect: "Allow",
              Action: ["execute-api:Invoke"],
              Resource: ["arn:aws:execute-api:eu-west-1:123456789012:the-api/*/POST/v1/machines/ec2/*"],
            },
          ],
        },
      }),
    ]);
  });

  it("names a resource for everything but what only describes", () => {
    for (const { name } of functions) {
      for (const { Action, Resource } of policyOfRole(name)) {
        if ([Resource].flat().includes("*")) {
          for (const action of [Action].flat()) expect(action).toMatch(/^ec2:Describe/);
        }
      }
    }
  });
});
