import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { parameters } from "../../infra/aws/test/cloudformation.ts";
import { type MotoApi, motoApi } from "../../infra/aws/test/moto-api.ts";
import { createStack } from "../../infra/aws/test/stack-on-moto.ts";
import type { AwsClient } from "../../src/adapters/aws/client.ts";
import { callJson } from "../../src/adapters/aws/json.ts";
import { itemsAt, textAt } from "../../src/adapters/compute/ec2-answers.ts";
import { createDemoWorld, type DemoWorld } from "../../src/targets/box/demo-world.ts";
import { standInClient } from "./aws-environment.ts";
import { type AwsCall, type AwsFaultProxy, type Reply, startAwsFaultProxy } from "./aws-fault-proxy.ts";
import { callEc2, subnetsByZone } from "./ec2-stand-in.ts";

/** What an account has after docs/start/aws.md: the stack of the template on moto, and a GitHub App that is emulated. */
export interface AwsAccount {
  readonly world: DemoWorld;
  readonly configPath: string;
  readonly client: AwsClient;
  readonly api: MotoApi;
  /** In front of moto, for commands: it has the quotas that moto lacks. */
  readonly proxy: AwsFaultProxy;
  readonly subnets: Readonly<Record<string, string>>;
  /** Of the HTTP API. */
  readonly url: string;
  /** Of processors, by the number of each quota; what is not here is 640. */
  readonly quotas: Map<string, number>;
  /** Actions that are refused. */
  readonly forbidden: Set<string>;
  /** For a command that is to find this account. */
  readonly environment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const accountDeployment = "mayfly";

export async function createAccount(moto: string): Promise<AwsAccount> {
  const api = motoApi(moto);
  const client = standInClient(moto);
  const world = await createDemoWorld({ faults: "none" });
  const box = parse(await readFile(world.configPath, "utf8"));
  const configPath = join(world.folder, "aws.yaml");
  await writeFile(configPath, stringify(await configOnAws(box)));
  const arns = await createSecrets(client, {
    WebhookSecretArn: ["webhook-secret", join(world.folder, box.secrets.webhookSecret.file)],
    PrivateKeySecretArn: ["app-private-key", join(world.folder, box.secrets.appPrivateKey.file)],
    StatusTokenSecretArn: ["status-token", join(world.folder, box.secrets.webhookSecret.file)],
  });
  const subnets = await subnetsByZone(client);
  await openWayOut(client);
  await createStack(api, {
    ...parameters,
    ...arns,
    Deployment: accountDeployment,
    Subnets: JSON.stringify(subnets),
  });
  const made = { name: accountDeployment, protocolType: "HTTP" };
  const { apiEndpoint: url } = await api.rest("apigateway", "POST", "/v2/apis", JSON.stringify(made));
  // A fleet of type `instant` needs none of EC2 Fleet.
  const role = { RoleName: "AWSServiceRoleForEC2Spot", AssumeRolePolicyDocument: "{}" };
  await api.query("iam", "CreateRole", role);
  world.emulator.setWebhook({ url: `${url}/webhook`, secret: "as long as it has to be" });
  const quotas = new Map<string, number>();
  const forbidden = new Set<string>();
  const proxy = await startAwsFaultProxy(moto, {
    judge: async (call, body) => refusalOf(call, forbidden) ?? quotaIn(call, body, quotas),
  });
  return {
    ...{ world, configPath, client, api, proxy, subnets, url, quotas, forbidden },
    environment: {
      AWS_REGION: "eu-west-1",
      AWS_ENDPOINT_URL: proxy.url,
      AWS_ACCESS_KEY_ID: "stand-in",
      AWS_SECRET_ACCESS_KEY: "stand-in",
    },
    async close() {
      await proxy.close();
      await world.close();
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the document of the demo, as YAML gives it
async function configOnAws({ github }: any): Promise<unknown> {
  const example = new URL("../../examples/aws.yaml", import.meta.url);
  return { ...parse(await readFile(example, "utf8")), github };
}

async function createSecrets(
  client: AwsClient,
  files: Readonly<Record<string, readonly [name: string, file: string]>>,
): Promise<Readonly<Record<string, string>>> {
  const arns = Object.entries(files).map(async ([parameter, [name, file]]) => {
    const { ARN } = await callJson<{ readonly ARN: string }>(client, {
      ...{ service: "secretsmanager", action: "CreateSecret", resource: name },
      input: { Name: `${accountDeployment}/${name}`, SecretString: await readFile(file, "utf8") },
    });
    return [parameter, ARN] as const;
  });
  return Object.fromEntries(await Promise.all(arns));
}

/** An account that is new has it in its default VPC; moto's has not. */
async function openWayOut(client: AwsClient): Promise<void> {
  const vpc = textAt(itemsAt(await callEc2(client, "DescribeVpcs", {}), "vpcSet")[0] ?? {}, "vpcId");
  const gateway = await callEc2(client, "CreateInternetGateway", {});
  const InternetGatewayId = textAt(gateway, "internetGateway", "internetGatewayId");
  await callEc2(client, "AttachInternetGateway", { InternetGatewayId, VpcId: vpc });
  const tables = await callEc2(client, "DescribeRouteTables", {
    Filter: [{ Name: "association.main", Value: ["true"] }],
  });
  const RouteTableId = textAt(itemsAt(tables, "routeTableSet")[0] ?? {}, "routeTableId");
  const route = { DestinationCidrBlock: "0.0.0.0/0", GatewayId: InternetGatewayId, RouteTableId };
  await callEc2(client, "CreateRoute", route);
}

function refusalOf({ service, action }: AwsCall, forbidden: ReadonlySet<string>): Reply | undefined {
  if (!forbidden.has(`${service}:${action}`)) return undefined;
  // Of a request to a service that speaks REST, the proxy does not know the action.
  const what = action === "unknown" ? "do this" : `perform: ${service}:${action}`;
  const message = `User: arn:aws:iam::123456789012:user/ada is not authorized to ${what}`;
  if (service === "ec2" || service === "iam" || service === "cloudformation") {
    const [code, before, after] =
      service === "ec2"
        ? ["UnauthorizedOperation", "<Response><Errors>", "</Errors></Response>"]
        : ["AccessDenied", "<ErrorResponse>", "</ErrorResponse>"];
    const body = `${before}<Error><Code>${code}</Code><Message>${message}</Message></Error>${after}`;
    return { status: 403, contentType: "text/xml", body };
  }
  const body = JSON.stringify({ __type: "AccessDeniedException", message });
  return { status: 400, contentType: "application/x-amz-json-1.1", body };
}

function quotaIn(
  { service, action }: AwsCall,
  body: string,
  quotas: ReadonlyMap<string, number>,
): Reply | undefined {
  if (service !== "servicequotas") return undefined;
  const json = (status: number, content: object): Reply => {
    return { status, contentType: "application/x-amz-json-1.1", body: JSON.stringify(content) };
  };
  // One that nobody ever changed is no quota of the account, only AWS's default.
  if (action === "GetServiceQuota") return json(400, { __type: "NoSuchResourceException" });
  return json(200, { Quota: { Value: quotas.get(JSON.parse(body).QuotaCode) ?? 640 } });
}
