import { XMLParser } from "fast-xml-parser";
import type { AwsCallLimits, AwsClient } from "./client.ts";
import { type AwsPurpose, type AwsRefusal, awsBrokenAnswerError } from "./errors.ts";
import type { ExchangeAnswer } from "./exchange.ts";

/** Services that speak AWS's query protocol, with the version of their API. */
const versions = {
  cloudformation: "2010-05-15",
  ec2: "2016-11-15",
  iam: "2010-05-08",
  sts: "2011-06-15",
} as const;

export interface QueryCall extends AwsPurpose {
  readonly service: keyof typeof versions;
  /** Names as the API reference writes them. What is undefined is left out. */
  readonly input: QueryInput;
  readonly limits?: AwsCallLimits;
}

export type QueryValue = string | number | boolean | undefined | QueryInput | readonly QueryValue[];
export interface QueryInput {
  readonly [name: string]: QueryValue;
}

/** Every leaf is a text; an element without content is the empty text, also where a list was meant. */
export type XmlValue = string | XmlElement | readonly XmlValue[];
export interface XmlElement {
  readonly [name: string]: XmlValue;
}

/**
 * Calls one action and gives the content of the answer's outermost element. Errors and repetitions are those of
 * `AwsClient`.
 *
 * The parser costs a function 21 KB and some 5 ms at its start; only functions that call these services import it.
 */
export async function callQuery(client: AwsClient, call: QueryCall): Promise<XmlElement> {
  return (await exchangeQuery(client, call)).content;
}

/** The same, with the headers of the answer. */
export async function exchangeQuery(
  client: AwsClient,
  call: QueryCall,
): Promise<{ readonly content: XmlElement; readonly headers: ExchangeAnswer["headers"] }> {
  const { service, action, resource, limits } = call;
  const parameters = new URLSearchParams({ Action: action, Version: versions[service] });
  for (const [name, value] of flattened("", call.input)) parameters.append(name, value);
  const answer = await client.send({
    service,
    action,
    resource,
    headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
    body: parameters.toString(),
    refusalIn,
    ...(limits === undefined ? {} : { limits }),
  });
  const parsed = elementIn(answer.body);
  if (parsed === undefined) throw awsBrokenAnswerError(call, "it is no XML document");
  return { content: parsed, headers: answer.headers };
}

/** `{ Tag: [{ Key: "a" }] }` is `Tag.1.Key=a`. */
function flattened(path: string, value: QueryValue): readonly (readonly [string, string])[] {
  if (value === undefined) return [];
  if (typeof value !== "object") return [[path, String(value)]];
  const entries = Array.isArray(value)
    ? value.map((entry, index) => [String(index + 1), entry] as const)
    : Object.entries(value);
  return entries.flatMap(([name, entry]) => flattened(path === "" ? name : `${path}.${name}`, entry));
}

/** EC2 says `<Response><Errors><Error><Code>`, STS `<ErrorResponse><Error><Code>`. */
function refusalIn({ body }: ExchangeAnswer): Omit<AwsRefusal, "status"> {
  const details = elementIn(body) ?? {};
  const errors = child(details, "Errors") ?? details;
  const error = child(errors, "Error") ?? {};
  const text = (name: string): string => (typeof error[name] === "string" ? error[name] : "");
  return { awsCode: text("Code"), message: text("Message"), details };
}

function child(element: XmlElement, name: string): XmlElement | undefined {
  const value = element[name];
  return typeof value === "object" && !Array.isArray(value) ? (value as XmlElement) : undefined;
}

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  // A list of one is a list.
  isArray: (name) => name === "item" || name === "member",
});

function elementIn(text: string): XmlElement | undefined {
  let document: Record<string, XmlValue>;
  try {
    document = parser.parse(text, true);
  } catch {
    // The parser says no more than that it could not read it, which is what the caller says too.
    return undefined;
  }
  const [root] = Object.values(document);
  if (root === "") return {};
  return typeof root === "object" && !Array.isArray(root) ? (root as XmlElement) : undefined;
}
