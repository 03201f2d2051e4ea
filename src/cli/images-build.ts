import type { Architecture } from "../core/model.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { printable } from "./display-width.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface ImagesBuildOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly architecture?: Architecture;
}

/**
 * `mayfly images build <base>`: one now, where there is none that is fresh. With `anew`, which is `mayfly images rebuild`,
 * also where there is; that one serves until the new one is there.
 */
export async function imagesBuildCommand(
  base: string,
  options: ImagesBuildOptions & { readonly anew: boolean },
  terminal: Terminal,
): Promise<ExitCode> {
  const { architecture, anew } = options;
  const client = await connect(options);
  const order = { base, anew, ...(architecture !== undefined && { architecture }) };
  const { body } = await client.post("/api/images/build", order, "result");
  if (options.json === true) terminal.printJson(body);
  else terminal.print(resultText(body as ImageOrdered));
  return exitCodes.ok;
}

interface ImageOrdered {
  readonly result: "building" | "ready";
  readonly base: string;
  readonly architecture: Architecture;
}

export function resultText({ result, base, architecture }: ImageOrdered): string {
  const name = printable(`${base} (${architecture})`);
  if (result === "ready") {
    return `The image of ${name} is there and fresh. \`mayfly images rebuild ${printable(base)}\` makes a new one.`;
  }
  return `The image of ${name} is being built. \`mayfly images list\` shows how far it is.`;
}
