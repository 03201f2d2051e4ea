import { expect, test } from "vitest";
import { policy, preset } from "../../test/builders.ts";
import { routeJob } from "../core/route.ts";
import { explainDocument, renderConfigExplain } from "./config-explain.ts";

const presets = [
  preset({ name: "small", labels: ["linux", "x64"], cpu: 2 }),
  preset({ name: "large", labels: ["linux", "x64", "large"], cpu: 8, memoryGib: 32 }),
  preset({ name: "arm", labels: ["linux"], architecture: "arm64" }),
];

function explain(...labels: string[]): string {
  const document = explainDocument(labels, routeJob(labels, policy({ presets })));
  return renderConfigExplain(document, { colours: false, now: 0 });
}

test("the preset that is taken, its options, and why the others are not", () => {
  expect(explain("self-hosted", "linux", "x64", "mayfly/large/cpu=16")).toMatchInlineSnapshot(`
    "A job with these labels gets a machine of preset large.
    Labels: self-hosted, linux, x64, mayfly/large/cpu=16

    fleet         large/cpu=16
    options       cpu 16
    compute       memory, linux on x86_64
    market        on-demand-only
    size          16 vCPU, 32 GiB memory
    runner group  default
    job limit     1 h

    PRESET  RESULT  BECAUSE
    small   no      the labels name the preset large
    large   taken   it offers every label of the job
    arm     no      the labels name the preset large"
  `);
});

test("a preset that matches too, and comes later", () => {
  expect(explain("linux", "x64")).toContain(
    "large   matches  it offers every label of the job, but small comes before it",
  );
});

test("labels that nobody can serve", () => {
  expect(explain("self-hosted", "gpu")).toMatchInlineSnapshot(`
    "A job with these labels is refused (no-preset). No preset matches the labels. small: it does not offer the label gpu; large: it does not offer the label gpu; arm: it does not offer the label gpu.
    Labels: self-hosted, gpu

    PRESET  RESULT  BECAUSE
    small   no      it does not offer the label gpu
    large   no      it does not offer the label gpu
    arm     no      it does not offer the label gpu"
  `);
  expect(explain("ubuntu-latest")).toContain("A job with these labels is left to others.");
});

test("E19: what jobs cannot do on the machine that they would get is said", () => {
  const limitation = "Tasks have no Docker.";
  const rules = policy({ presets: [preset({ name: "tasks", labels: ["task"], limitation })] });
  const document = explainDocument(["task"], routeJob(["task"], rules));
  expect(document.limitation).toBe(limitation);
  expect(renderConfigExplain(document, { colours: false, now: 0 })).toContain(`\n\n${limitation}\n\n`);
  expect(explainDocument(["linux"], routeJob(["linux"], policy({ presets }))).limitation).toBeNull();
});
