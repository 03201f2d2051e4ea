import { describe, expect, it } from "vitest";
import { awsCredentials, awsPlace } from "./aws.ts";

const keys = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };

describe("AWS in the environment", () => {
  it("has the credentials of a role with their token, and those of a person without", () => {
    const lent = awsCredentials({ ...keys, AWS_SESSION_TOKEN: "token" });
    expect([lent.accessKeyId, lent.secretAccessKey.reveal(), lent.sessionToken?.reveal()]).toEqual([
      ...["AKIDEXAMPLE", "secret", "token"],
    ]);
    expect(awsCredentials({ ...keys, AWS_SESSION_TOKEN: "" })).not.toHaveProperty("sessionToken");
  });

  it("without credentials or region says what is missing", () => {
    expect(() => awsCredentials({ ...keys, AWS_SECRET_ACCESS_KEY: "" })).toThrow("AWS_SECRET_ACCESS_KEY");
    expect(() => awsPlace({})).toThrow("AWS_REGION");
  });

  it("names the region, and a stand-in where there is one", () => {
    expect(awsPlace({ AWS_DEFAULT_REGION: "eu-west-1" })).toEqual({ region: "eu-west-1" });
    expect(awsPlace({ AWS_REGION: "us-east-2", AWS_ENDPOINT_URL: "http://127.0.0.1:5000" })).toEqual({
      region: "us-east-2",
      endpoint: "http://127.0.0.1:5000",
    });
  });
});
