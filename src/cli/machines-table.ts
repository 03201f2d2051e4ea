import type { MachineStatus } from "../core/status.ts";
import { durationText, moneyText, relativeText } from "./phrases.ts";
import { renderTable } from "./table.ts";
import type { Screen, Style } from "./terminal.ts";

/** Machines, alive or ended. Columns that say nothing of these machines are left out. */
export function renderMachines(machines: readonly MachineStatus[], screen: Screen): string {
  return renderTable(
    [
      { title: "ID", cell: (machine) => machine.id },
      { title: "STATE", cell: stateText, style: machineStyle },
      { title: "PRESET", cell: (machine) => machine.preset, shrinksTo: 8 },
      { title: "COMPUTE", cell: (machine) => machine.compute },
      { title: "JOB", cell: (machine) => (machine.jobId === null ? "" : String(machine.jobId)) },
      { title: "AGE", cell: (machine) => durationText(machine.ageSeconds), align: "right" },
      { title: "COST", cell: (machine) => moneyText(machine.costUsd), align: "right" },
      {
        title: "ENDED",
        cell: (machine) => (machine.endedAt === null ? "" : relativeText(machine.endedAt, screen.now)),
      },
      { title: "DETAIL", cell: (machine) => machine.detail ?? "", shrinksTo: 12 },
    ],
    machines,
    screen,
  );
}

/** The state, and why where it ends or has ended. */
export function stateText(machine: MachineStatus): string {
  return machine.reason === null ? machine.state : `${machine.state}: ${machine.reason}`;
}

function machineStyle(machine: MachineStatus): Style | undefined {
  if (machine.state === "busy") return "good";
  if (machine.state === "requested" || machine.state === "launched") return "doubtful";
  if (machine.state !== "ended") return undefined;
  const usual: readonly (string | null)[] = ["completed", "idle", "surplus", "cancelled", "operator"];
  return usual.includes(machine.reason) ? "quiet" : "bad";
}
