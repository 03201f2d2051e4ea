import type { Clock } from "../../ports/clock.ts";
import type { ImageFindings } from "../../ports/images.ts";
import type { AwsClient } from "../aws/client.ts";
import { AwsError } from "../aws/errors.ts";
import { callJson } from "../aws/json.ts";

interface Answer {
  readonly imageScanStatus?: { readonly status?: string };
  readonly imageScanFindings?: {
    /** Seconds since the epoch. */
    readonly imageScanCompletedAt?: number;
    readonly findingSeverityCounts?: Readonly<Record<string, number>>;
  };
}

/** A scan's result changes once a day at most; one that runs is over within minutes. */
const keptMilliseconds = 15 * 60_000;
const keptImages = 200;

/** What ECR's scan on push found, remembered for a while. A registry that does not scan has no such image for it. */
export function createEcrFindings(client: AwsClient, clock: Clock) {
  const known = new Map<string, { readonly until: number; readonly findings: ImageFindings | undefined }>();
  return async (reference: string): Promise<ImageFindings | undefined> => {
    const before = known.get(reference);
    if (before !== undefined && before.until > clock.now()) return before.findings;
    const findings = await readFindings(client, reference);
    if (known.size >= keptImages) known.clear();
    known.set(reference, { until: clock.now() + keptMilliseconds, findings });
    return findings;
  };
}

async function readFindings(client: AwsClient, reference: string): Promise<ImageFindings | undefined> {
  const place = placeOf(reference);
  if (place === undefined) return undefined;
  const answer = await ask(client, place);
  const { imageScanStatus, imageScanFindings: found } = answer ?? {};
  const isOver = imageScanStatus?.status === "COMPLETE" || imageScanStatus?.status === "ACTIVE";
  if (!isOver || found === undefined) return undefined;
  const { imageScanCompletedAt: at, findingSeverityCounts: counts = {} } = found;
  return {
    at: at === undefined ? null : new Date(at * 1000).toISOString(),
    findings: Object.fromEntries(
      Object.entries(counts).map(([severity, count]) => [severity.toLowerCase(), count]),
    ),
  };
}

interface EcrPlace {
  readonly account: string;
  readonly repository: string;
  readonly tag: string;
}

async function ask(client: AwsClient, { account, repository, tag }: EcrPlace): Promise<Answer | undefined> {
  try {
    return await callJson<Answer>(client, {
      service: "ecr",
      action: "DescribeImageScanFindings",
      resource: `image ${repository}:${tag}`,
      // The counts are of all findings, however few are told.
      input: { registryId: account, repositoryName: repository, imageId: { imageTag: tag }, maxResults: 1 },
      limits: { timeoutSeconds: 3, attempts: 1 },
    });
  } catch (error) {
    const none = ["ScanNotFoundException", "ImageNotFoundException", "UnsupportedImageTypeException"];
    if (error instanceof AwsError && none.includes(error.awsCode)) return undefined;
    throw error;
  }
}

/** `<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>`; undefined for what is no reference of ECR. */
function placeOf(reference: string): EcrPlace | undefined {
  const parts = /^(\d{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?\/([^:@]+):([^:@]+)$/.exec(
    reference,
  );
  if (parts === null) return undefined;
  const [, account = "", repository = "", tag = ""] = parts;
  return { account, repository, tag };
}
