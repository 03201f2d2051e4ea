import { describe, expect, it } from "vitest";
import { type Ec2Answer, fakeEc2, imageAnswer } from "../../../test/support/fake-ec2.ts";
import { createManualClock } from "../clock/manual.ts";
import { createEc2Images } from "./ec2-images.ts";

const ami = "ami-0123456789abcdef0";

function place(script: Readonly<Record<string, readonly Ec2Answer[]>>) {
  const ec2 = fakeEc2(script);
  const clock = createManualClock();
  return { ...ec2, clock, find: createEc2Images({ client: ec2.client, clock }) };
}

describe("an image", () => {
  it("is the one with this id", async () => {
    const { find, callsOf } = place({
      DescribeImages: [imageAnswer([{ id: ami, device: "/dev/sda1", sizeGib: 12 }])],
    });
    expect(await find(ami, "x86_64")).toEqual({
      id: ami,
      architecture: "x86_64",
      rootDeviceName: "/dev/sda1",
      rootSizeGib: 12,
    });
    expect(callsOf("DescribeImages")[0]?.get("ImageId.1")).toBe(ami);
  });

  it("is the one that a parameter names", async () => {
    const { find, callsOf } = place({
      GetParameter: [JSON.stringify({ Parameter: { Value: ami } })],
      DescribeImages: [imageAnswer([{ id: ami }])],
    });
    expect((await find("ssm:/mayfly/image", "x86_64")).id).toBe(ami);
    expect(callsOf("GetParameter")[0]?.get("Name")).toBe("/mayfly/image");
    expect(callsOf("DescribeImages")[0]?.get("ImageId.1")).toBe(ami);
  });

  it.each([
    [
      "pipeline:default",
      { "Owner.1": "self", "Filter.1.Name": "tag:mayfly:pipeline", "Filter.1.Value.1": "default" },
    ],
    [
      "name:amazon/al2023-ami-2023.*",
      { "Owner.1": "amazon", "Filter.1.Name": "name", "Filter.1.Value.1": "al2023-ami-2023.*" },
    ],
  ])(
    "%s is the newest, of one owner: anybody may publish an image under any name",
    async (reference, expected) => {
      const { find, callsOf } = place({
        DescribeImages: [
          imageAnswer([
            { id: "ami-0000000000000001", created: "2026-02-01T00:00:00.000Z" },
            { id: "ami-0000000000000002", created: "2026-11-01T00:00:00.000Z" },
            { id: "ami-0000000000000003", created: "2025-12-31T00:00:00.000Z" },
          ]),
        ],
      });
      expect((await find(reference, "x86_64")).id).toBe("ami-0000000000000002");
      const sent = Object.fromEntries(callsOf("DescribeImages")[0] ?? []);
      expect(sent).toMatchObject({
        ...expected,
        "Filter.2.Value.1": "available",
        "Filter.3.Value.1": "x86_64",
      });
    },
  );

  it.each<[string, readonly Ec2Answer[], string, RegExp]>([
    ["that is not there", [imageAnswer([])], ami, /no such image/],
    ["for another processor", [imageAnswer([{ id: ami, architecture: "arm64" }])], ami, /arm64, not x86_64/],
    ["of nobody", [], "name:al2023*", /owner/],
    ["of everybody", [], "name:*/al2023", /owner/],
    ["that is no reference", [], "ubuntu:24.04", /none of/],
  ])("%s is refused with the reason", async (_what, answers, reference, message) => {
    const { find } = place({ DescribeImages: answers });
    await expect(find(reference, "x86_64")).rejects.toMatchObject({
      kind: "operator",
      code: "EC2_IMAGE_UNUSABLE",
      message: expect.stringMatching(message),
    });
  });

  it("is kept for five minutes, for each processor by itself, and a failure is not kept", async () => {
    const failure = { status: 500, code: "InternalError", message: "Oops." };
    const { find, callsOf, clock } = place({ DescribeImages: [failure, imageAnswer([{ id: ami }])] });
    await expect(find(ami, "x86_64")).rejects.toMatchObject({ kind: "retry" });
    await find(ami, "x86_64");
    await find(ami, "x86_64");
    expect(callsOf("DescribeImages")).toHaveLength(2);
    await expect(find(ami, "arm64")).rejects.toMatchObject({ code: "EC2_IMAGE_UNUSABLE" });
    await clock.advance(300_000);
    await find(ami, "x86_64");
    expect(callsOf("DescribeImages")).toHaveLength(4);
  });
});
