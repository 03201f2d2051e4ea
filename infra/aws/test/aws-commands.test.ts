import { execFileSync, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { commandsOf, pagesOf, readPage } from "../../../test/support/markdown.ts";

/* The commands of the AWS CLI that pages show, against the descriptions of AWS's own library, which comes with moto. */

const root = fileURLToPath(new URL("../../..", import.meta.url));
const hasLibrary = spawnSync("python3", ["-c", "import botocore"]).status === 0;

interface AwsCommand {
  readonly where: string;
  readonly service: string;
  readonly operation: string;
  readonly options: readonly string[];
}

const shown: readonly AwsCommand[] = pagesOf(root).flatMap((path) =>
  commandsOf(readPage(root, path)).flatMap(({ command, line }) =>
    [...command.matchAll(/(?<![\w-])aws ([a-z0-9-]+) ([a-z][a-z0-9-]+)([^|;)]*)/g)].map(
      ([, service = "", operation = "", rest = ""]) => ({
        where: `${path}:${line}`,
        service,
        operation,
        options: [...rest.matchAll(/(?<=\s)--([a-z][a-z-]+)/g)].map(([, option = ""]) => option),
      }),
    ),
  ),
);

it.skipIf(!hasLibrary)("are ones that AWS has", () => {
  expect(problemsOf(shown)).toEqual([]);
  expect(shown.length).toBeGreaterThan(8);
});

it.skipIf(!hasLibrary)("would be found if AWS did not have them", () => {
  const wrong = { where: "here", service: "ec2", operation: "describe-instances", options: ["filter"] };
  const right = { ...wrong, options: ["filters", "query"] };
  const unknown = { ...right, operation: "describe-machines" };
  expect(problemsOf([wrong, right, unknown])).toEqual([
    "here: aws ec2 describe-instances --filter",
    "here: aws ec2 describe-machines",
  ]);
});

function problemsOf(commands: readonly AwsCommand[]): readonly string[] {
  const output = execFileSync("python3", ["-c", program], {
    input: JSON.stringify(commands),
    encoding: "utf8",
  });
  return JSON.parse(output);
}

// Those that are not an operation of the API are known here by name.
const program = `
import json, sys
import botocore.session
from botocore import xform_name
own = {
  ("cloudformation", "deploy"): "template-file stack-name s3-bucket s3-prefix parameter-overrides capabilities tags",
  ("cloudformation", "wait"): "stack-name",
  ("s3", "cp"): "recursive", ("s3", "mb"): "", ("s3", "rb"): "force", ("s3", "rm"): "recursive", ("s3", "sync"): "delete",
  ("configure", "export-credentials"): "format profile",
}
everywhere = {"region", "query", "output", "profile", "no-cli-pager", "cli-input-json"}
session = botocore.session.get_session()
services = set(session.get_available_services())
problems = []
for one in json.load(sys.stdin):
  name = "%s: aws %s %s" % (one["where"], one["service"], one["operation"])
  key = (one["service"], one["operation"])
  if key in own:
    known = set(own[key].split())
  else:
    if one["service"] not in services:
      problems.append(name)
      continue
    model = session.get_service_model(one["service"])
    operations = {xform_name(operation, "-"): operation for operation in model.operation_names}
    if one["operation"] not in operations:
      problems.append(name)
      continue
    shape = model.operation_model(operations[one["operation"]]).input_shape
    known = {xform_name(member, "-") for member in shape.members} if shape else set()
    known |= {"no-" + member for member in known}
  problems += [name + " --" + option for option in one["options"] if option not in known | everywhere]
print(json.dumps(problems))
`;
