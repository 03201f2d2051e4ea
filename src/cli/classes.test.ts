import { expect, test } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import { classesDocument, renderClasses } from "./classes.ts";

const screen = { colours: false, widthColumns: 100, now: 0 };
const classes = { small: { cpu: 0.5, memoryGib: 1 }, medium: { cpu: 1, memoryGib: 2 } };

test("classes have their price per minute where a preset is on Fargate", () => {
  const presets = [
    preset({ compute: "fargate" }),
    preset({ name: "arm", architecture: "arm64", compute: "ec2" }),
  ];
  const document = classesDocument({ ...policy(), classes, presets });
  expect(document.classes[1]).toEqual({
    ...{ name: "medium", cpu: 1, memoryGib: 2 },
    usdPerMinute: { x86_64: { onDemand: 0.00082283, spot: 0.00024685 } },
  });
  expect(renderClasses(document, screen).split("\n").slice(0, 3)).toEqual([
    "CLASS   VCPU  GIB  MINUTE x86_64  SPOT x86_64",
    "small    0.5    1      $0.000411    $0.000123",
    "medium     1    2      $0.000823    $0.000247",
  ]);
});

test("classes have no price where none is known, and may be none", () => {
  const elsewhere = classesDocument({ classes, presets: [preset({ compute: "docker" })] });
  expect(elsewhere.prices).toBeNull();
  expect(renderClasses(elsewhere, screen)).not.toContain("$");
  expect(renderClasses(classesDocument({ classes: {}, presets: [] }), screen)).toContain("no classes");
});
