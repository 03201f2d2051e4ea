import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cloudFormationTemplate, exampleConfig, templateText } from "./template.ts";

/*
 * Writes the CloudFormation template: the committed one, or with --config and --out one for your own presets.
 */
const committed = fileURLToPath(new URL("../../cloudformation/template.yaml", import.meta.url));
const { values } = parseArgs({
  options: {
    config: { type: "string", default: exampleConfig },
    out: { type: "string", default: committed },
  },
});
await writeFile(values.out, templateText(await cloudFormationTemplate(values.config)));
