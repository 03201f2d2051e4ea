import type { AwsClient } from "../aws/client.ts";
import { callJson } from "../aws/json.ts";

interface LogEvents {
  readonly events?: readonly { readonly message?: string }[];
}

/** The last lines of a stream of CloudWatch, oldest first. */
export async function readLogLines(
  client: AwsClient,
  group: string,
  stream: string,
  lines: number,
): Promise<readonly string[]> {
  const { events = [] } = await callJson<LogEvents>(client, {
    service: "logs",
    action: "GetLogEvents",
    resource: `log ${group}`,
    input: { logGroupName: group, logStreamName: stream, limit: lines, startFromHead: false },
  });
  return events.map(({ message = "" }) => message.trimEnd());
}

const reasonLines = 12;
const reasonLimit = 1_000;

/** The end of a failed build's log in one text, for the reason; undefined when the log says nothing. */
export async function endOfLog(
  read: (lines: number) => Promise<readonly string[]>,
): Promise<string | undefined> {
  const text = (await read(reasonLines)).map((line) => line.trim()).filter(Boolean);
  return text.length === 0 ? undefined : text.join(" / ").slice(-reasonLimit);
}
