import type { Config } from "../../config/config.ts";
import type { Policy } from "../../core/model.ts";
import { packedUserData } from "./user-data.ts";

/** What the infrastructure has to know of a preset, to make the launch template of its machines. */
export interface MachineTemplate {
  readonly preset: string;
  readonly architecture: "x86_64" | "arm64";
  /** Of the root volume; a job may ask for another size. */
  readonly diskGib: number;
  /** The user data as text, with `apiWord` and `regionWord` where the infrastructure puts what it made. */
  readonly userData: string;
}

/** Stands in user data for the base address of the HTTP API. */
export const apiWord = "@mayfly-api@";
/** Stands in user data for the region of the HTTP API. */
export const regionWord = "@mayfly-region@";

const usualDiskGib = 30;

/** One for each preset on EC2 that does not name a launch template of its own. */
export function machineTemplates({
  config,
  policy,
}: {
  readonly config: Pick<Config, "compute">;
  readonly policy: Policy;
}): readonly MachineTemplate[] {
  return policy.presets
    .filter(
      ({ name, compute }) => compute === "ec2" && config.compute[name]?.ec2.launchTemplate === undefined,
    )
    .map(({ name, architecture, diskGib, bootTimeoutSeconds }) => ({
      preset: name,
      architecture,
      diskGib: diskGib ?? usualDiskGib,
      userData: packedUserData({
        url: apiWord,
        region: regionWord,
        bootTimeoutSeconds,
        jobsMayReadMetadata: false,
      }),
    }));
}
