/** The App as the configuration has it. */
export interface GithubSection {
  readonly server: string;
  readonly apiUrl?: string;
  readonly appId: number | string;
  readonly scope: "organization" | "repository";
}

export interface AwsConfigChoice {
  readonly github: GithubSection;
  readonly presets: readonly AwsPresetName[];
  /** At once. */
  readonly machines: number;
  /** 0: none. */
  readonly dailyBudgetUsd: number;
}

export type AwsPresetName = "linux-x64" | "linux-arm64" | "fargate";

/** What each preset is for, and how it stands in the document. `MAX` is the cap. */
const presets: Readonly<Record<AwsPresetName, { readonly says: string; readonly text: string }>> = {
  "linux-x64": {
    says: "EC2, 2 vCPU and 8 GiB, spot where there is some",
    text: `  linux-x64:
    labels: [linux, x64]           # beside self-hosted and mayfly/linux-x64
    architecture: x86_64
    compute: ec2
    instanceTypes: [m7i.large, m7a.large, m6i.large, m6a.large]
    market: spot-preferred         # on-demand where no zone has a spot machine
    diskGib: 50
    max: MAX
    jobTimeoutMinutes: 120
`,
  },
  "linux-arm64": {
    says: "the same with arm64",
    text: `  linux-arm64:
    labels: [linux, arm64]
    architecture: arm64
    compute: ec2
    instanceTypes: [m8g.large, m7g.large, m6g.large]
    market: spot-preferred
    diskGib: 50
    max: MAX
    jobTimeoutMinutes: 120
`,
  },
  fargate: {
    says: "containers, 1 vCPU and 2 GiB; jobs without Docker",
    text: `  fargate:
    labels: [linux, container]     # jobs may name class:<size> and image:<reference> beside them
    architecture: x86_64
    compute: fargate
    image: ubuntu:24.04
    cpu: 1
    ram: 2
    market: spot-preferred
    max: MAX
    jobTimeoutMinutes: 60
`,
  },
};

export const awsPresetNames = Object.keys(presets) as readonly AwsPresetName[];

/** `linux-x64 (EC2, …)`, for a question. */
export function presetSays(name: AwsPresetName): string {
  return `${name} (${presets[name].says})`;
}

/** A `mayfly.yaml` for AWS, to be read and changed by people. */
export function awsConfigText({
  github,
  presets: chosen,
  machines,
  dailyBudgetUsd,
}: AwsConfigChoice): string {
  const api = github.apiUrl === undefined ? "" : `  apiUrl: ${JSON.stringify(github.apiUrl)}\n`;
  const budget =
    dailyBudgetUsd > 0
      ? `  dailyBudgetUsd: ${dailyBudgetUsd}            # a day (UTC); running jobs go on\n`
      : "";
  const kinds = chosen.map((name) => presets[name].text.replaceAll("MAX", String(machines))).join("\n");
  return `# Mayfly on AWS: docs/start/aws.md. Every setting is described in docs/reference/config.md;
# \`mayfly config check\` says what is wrong with this document and where.

github:
  server: ${JSON.stringify(github.server)}
${api}  appId: ${JSON.stringify(github.appId)}
  scope: ${github.scope}

# Kinds of runners. The first that offers all labels of a job is taken.
presets:
${kinds}
limits:
  machines: ${machines}
  perRepository: ${machines}
${budget}
admission:
  repositories: []                 # empty: every repository of the App; or patterns such as my-org/*
  publicRepositories: refuse       # a public repository runs strangers' code
`;
}
