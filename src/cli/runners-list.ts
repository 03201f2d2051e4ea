import type { MachineStatus } from "../core/status.ts";
import { connect } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { type ListOptions, listQuery } from "./jobs-list.ts";
import { renderMachines } from "./machines-table.ts";
import type { Terminal } from "./terminal.ts";

/** `mayfly runners list`: the machines that are alive, or those that ended lately. */
export async function runnersListCommand(options: ListOptions, terminal: Terminal): Promise<ExitCode> {
  const client = await connect(options);
  const { body, now } = await client.get(`/api/machines?${listQuery(options)}`, "machines");
  if (options.json === true) {
    terminal.printJson(body);
    return exitCodes.ok;
  }
  const { machines } = body as { readonly machines: readonly MachineStatus[] };
  if (machines.length > 0) {
    terminal.print(renderMachines(machines, { ...terminal.screen, now }));
  } else if (options.state === "active") {
    terminal.print("No machine is alive. `mayfly runners list --state recent` shows those that ended.");
  } else {
    terminal.print("No machine has ended lately.");
  }
  return exitCodes.ok;
}
