import { callJson } from "../../src/adapters/aws/json.ts";
import { createSystemClock } from "../../src/adapters/clock/system.ts";
import { createSystemRandom } from "../../src/adapters/random/system.ts";
import { createDynamoStore, type DynamoStoreOptions } from "../../src/adapters/store/dynamodb.ts";
import { ledgerTable } from "../../src/adapters/store/dynamodb-table.ts";
import type { Store } from "../../src/ports/store.ts";
import { standInClient } from "./aws-environment.ts";
import { type AwsFaultProxy, startAwsFaultProxy } from "./aws-fault-proxy.ts";

/** A table of its own on a stand-in for DynamoDB, behind a proxy that counts and makes faults. */
export interface LedgerTable {
  readonly name: string;
  readonly proxy: AwsFaultProxy;
  /** A store as another process would open it. */
  open(options?: Partial<DynamoStoreOptions>): Store;
  /** One action of DynamoDB on the table. */
  call(action: string, input?: Readonly<Record<string, unknown>>): Promise<unknown>;
  close(): Promise<void>;
}

let tables = 0;

export async function createLedgerTable(standIn: string): Promise<LedgerTable> {
  const proxy = await startAwsFaultProxy(standIn);
  const client = standInClient(proxy.url);
  tables += 1;
  const name = `ledger-${process.pid}-${tables}`;
  const call = (action: string, input: Readonly<Record<string, unknown>> = {}) =>
    callJson(client, {
      service: "dynamodb",
      action,
      resource: `table ${name}`,
      input: { ...(action.startsWith("Batch") ? {} : { TableName: name }), ...input },
    });
  await call("CreateTable", ledgerTable(name));
  proxy.forgetCalls();
  return {
    name,
    proxy,
    open: (options = {}) =>
      createDynamoStore({
        client,
        table: name,
        clock: createSystemClock(),
        random: createSystemRandom(),
        historySeconds: 7 * 24 * 60 * 60,
        ...options,
      }),
    call,
    close: async () => {
      await call("DeleteTable");
      await proxy.close();
    },
  };
}
