/*
 * Asks a stand-in for AWS anything: it looks at the name of the service in the signature, and at nothing else of it.
 */

const region = "eu-west-1";

export interface MotoApi {
  /** An action of a service that speaks in forms, such as CloudFormation; the answer is XML. */
  query(service: string, Action: string, input: Readonly<Record<string, string>>): Promise<string>;
  /** An action of a service that speaks JSON, by its target: `AWSEvents.ListRules`. */
  json(service: string, target: string, input?: object): Promise<Answer>;
  rest(service: string, method: string, path: string, body?: string): Promise<Answer>;
}

// biome-ignore lint/suspicious/noExplicitAny: each action has an answer of its own.
type Answer = any;

export function motoApi(moto: string): MotoApi {
  const ask = async (
    service: string,
    method: string,
    path: string,
    body: string | undefined,
    headers: object,
  ) => {
    const credential = `Credential=stand-in/20260101/${region}/${service}/aws4_request`;
    const response = await fetch(`${moto}${path}`, {
      method,
      headers: {
        ...headers,
        authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=0`,
      },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${service} ${method} ${path} answers ${response.status}: ${text}`);
    return text;
  };
  return {
    query: (service, Action, input) =>
      ask(service, "POST", "/", new URLSearchParams({ Action, ...input }).toString(), {
        "content-type": "application/x-www-form-urlencoded",
        host: `${service}.${region}.amazonaws.com`,
      }),
    async json(service, target, input = {}) {
      const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": target };
      return JSON.parse((await ask(service, "POST", "/", JSON.stringify(input), headers)) || "{}");
    },
    async rest(service, method, path, body) {
      const text = await ask(service, method, path, body, {});
      return text.startsWith("{") ? JSON.parse(text) : text;
    },
  };
}
