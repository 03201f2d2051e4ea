import type { Job } from "../core/model.ts";
import type { Ports } from "../ports/ports.ts";

/** Tells the people who wait, on the commit. The ledger has it already, so a failure here loses nothing. */
export async function sayGivenUp(ports: Pick<Ports, "github" | "log">, job: Job): Promise<void> {
  if (job.outcome?.kind !== "given-up") return;
  const log = ports.log.with({ stage: "scaleup", job: job.id, because: job.outcome.because });
  log.warn("A job was given up.", { detail: job.outcome.detail });
  // It ran, and nobody waits for it any more.
  if (job.outcome.because === "end-unknown") return;
  try {
    await ports.github.reportGivenUp({
      repository: { ...job.repository, installationId: job.installationId },
      jobId: job.id,
      jobName: job.name,
      runId: job.runId,
      because: job.outcome.because,
      detail: job.outcome.detail,
    });
  } catch (error) {
    log.warn("A given-up job could not be reported at GitHub.", { error });
  }
}
