import type { FleetId, FleetSpec, Instant, LaunchFailureKind, MachineId, Purchase } from "../core/model.ts";
import type { Secret } from "../core/secret.ts";

/**
 * A place where machines run: a cloud's API, a container engine, processes on this box.
 *
 * Contract, for every adapter:
 * - A machine is marked (tagged, labelled, named) in the same act that creates it, so that `list` finds it even when
 *   the answer to `launch` was lost: with its fleet, its preset, and with its machine id or with the token of its
 *   launch. The token alone is for providers whose one call starts many machines that it cannot mark differently:
 *   the machines of such a launch are interchangeable, and the flow says which of them is which (core/launch.ts).
 * - No secret travels in user data, tags, labels, names or arguments. `credential` is handed over in the
 *   environment of the agent, and only by adapters whose machines cannot prove who they are by themselves.
 * - Errors of a whole call are `MayflyError`s; errors of one machine are in its outcome.
 */
export interface Compute {
  readonly name: string;

  /**
   * Launches one machine per entry of `machines`. Partial success is normal. Idempotent: whatever an earlier call with
   * the same token has launched is answered as `launched` again, and starts nothing.
   *
   * - Where machines are marked with their ids, there is one outcome for each, in the order of the request.
   * - Where they are interchangeable, outcomes name no machine. Each `launched` is a machine of this launch, also one
   *   that an earlier call answered; one `refused` at most speaks for all that got none, and for them the launch is
   *   over: its token will give no more.
   */
  launch(request: LaunchRequest): Promise<readonly LaunchOutcome[]>;

  /**
   * Every machine of ours that exists, whatever the ledger says. Complete up to `Timing.listingDelaySeconds`: a younger
   * machine may be missing. One that is gone may be listed for a while, with what became of it in `ended`.
   */
  list(): Promise<readonly ListedMachine[]>;

  /**
   * Begins to destroy these machines and all that belongs to them (process group, folder, volumes), whatever
   * runs on them: the caller has fenced. Returns when it is under way; `list` and a repeated call tell when they
   * are gone. Repeating is harmless. `absent`: there is nothing of that name (any more).
   */
  terminate(providerIds: readonly string[]): Promise<readonly TerminateOutcome[]>;

  /** Called by the target when it stops. Leaves running machines alone. */
  close(): Promise<void>;
}

export interface LaunchRequest {
  readonly fleet: FleetId;
  readonly spec: FleetSpec;
  readonly purchase: Purchase;
  /** The same for every repetition of this launch, and of no other: its first machine's id. */
  readonly token: string;
  /** 1 for the first call with this token. Above: whether an earlier one launched anything is not known. */
  readonly attempt: number;
  /** `owner/name`, when all jobs on whose account this is launched are of one repository. It may come to serve another. */
  readonly repository?: string;
  readonly machines: readonly MachineToLaunch[];
  /** Pools that refused a short while ago. */
  readonly avoidPools: readonly string[];
  /** The agent's job limit; the machine ends itself after it, whatever else happens. */
  readonly jobTimeoutSeconds: number;
  /** The agent gives up when it could not claim for so long. */
  readonly bootTimeoutSeconds: number;
}

export interface MachineToLaunch {
  readonly id: MachineId;
  /** Present where machines cannot prove by themselves who they are. */
  readonly credential?: Secret;
}

export type LaunchOutcome =
  | {
      readonly kind: "launched";
      /** Absent: one of this launch, whichever. */
      readonly machineId?: MachineId;
      readonly providerId: string;
      readonly pool: string;
      readonly purchase: Purchase;
      readonly pricePerHourUsd?: number;
    }
  | {
      readonly kind: "refused";
      /** Absent: every machine of this launch that got nothing. */
      readonly machineId?: MachineId;
      readonly failure: LaunchFailureKind;
      /** The provider's own code, for example `InsufficientInstanceCapacity`. */
      readonly code: string;
      readonly message: string;
      /** The pools that refused; empty when the refusal is not about a pool. */
      readonly pools: readonly string[];
      /** There are pools that did not refuse: another launch without those in `pools` may get machines at once. */
      readonly othersLeft?: true;
    }
  | {
      /** These pools gave nothing; others gave some or all of what was asked, or say themselves why not. */
      readonly kind: "pools-refused";
      readonly failure: LaunchFailureKind;
      readonly code: string;
      readonly message: string;
      readonly pools: readonly string[];
    };

export interface ListedMachine {
  readonly providerId: string;
  /** Absent where only its launch is marked. */
  readonly machineId?: MachineId;
  readonly launchToken?: string;
  readonly fleet: FleetId;
  readonly preset: string;
  readonly launchedAt: Instant;
  readonly purchase: Purchase;
  /** It is gone, and this is what the provider says of its end. */
  readonly ended?: { readonly detail: string; readonly takenBack: boolean };
}

export interface TerminateOutcome {
  readonly providerId: string;
  readonly kind: "terminating" | "absent";
}
