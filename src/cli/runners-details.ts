import type { MachineStatus } from "../core/status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { stateText } from "./machines-table.ts";
import { durationText, instantText, moneyText, relativeText } from "./phrases.ts";
import { renderFields } from "./table.ts";
import type { Screen, Terminal } from "./terminal.ts";

export interface RunnersDetailsOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** `mayfly runners details <id>`: the facts about one machine. */
export async function runnersDetailsCommand(
  id: string,
  options: RunnersDetailsOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const client = await connect(options);
  const { body, now } = await client.get(`/api/machines/${encodeURIComponent(id)}`, "state");
  if (options.json === true) terminal.printJson(body);
  else terminal.print(renderMachine(body as MachineStatus, { ...terminal.screen, now }));
  return exitCodes.ok;
}

export function renderMachine(machine: MachineStatus, screen: Screen): string {
  const moment = (at: string | null): string | undefined =>
    at === null ? undefined : `${instantText(at)} UTC, ${relativeText(at, screen.now)}`;
  return renderFields(
    [
      ["machine", machine.id],
      ["state", stateText(machine)],
      ["detail", machine.detail ?? undefined],
      ["preset", machine.preset],
      ["fleet", machine.fleet],
      ["compute", machine.compute],
      ["bought as", machine.purchase],
      ["pool", machine.pool ?? undefined],
      ["provider id", machine.providerId ?? undefined],
      ["job", machine.jobId === null ? undefined : String(machine.jobId)],
      ["requested", moment(machine.requestedAt)],
      ["ended", moment(machine.endedAt)],
      ["age", durationText(machine.ageSeconds)],
      ["cost", moneyText(machine.costUsd)],
    ],
    screen,
  );
}
