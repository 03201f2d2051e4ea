import { CfnTable } from "aws-cdk-lib/aws-dynamodb";
import type { Construct } from "constructs";
import { ledgerTable } from "../../../../src/adapters/store/dynamodb-table.ts";
import type { MayflyProps } from "./props.ts";

/** The ledger: keys and indexes are those that its adapter writes to. */
export function addTable(scope: Construct, { deployment, deletionProtection }: MayflyProps): CfnTable {
  const definition = ledgerTable(deployment) as {
    readonly AttributeDefinitions: readonly { AttributeName: string; AttributeType: string }[];
    readonly KeySchema: readonly KeyElement[];
    readonly GlobalSecondaryIndexes: readonly {
      readonly IndexName: string;
      readonly KeySchema: readonly KeyElement[];
      readonly Projection: { readonly ProjectionType: string };
    }[];
  };
  return new CfnTable(scope, "Table", {
    tableName: deployment,
    billingMode: "PAY_PER_REQUEST",
    attributeDefinitions: definition.AttributeDefinitions.map(({ AttributeName, AttributeType }) => ({
      attributeName: AttributeName,
      attributeType: AttributeType,
    })),
    keySchema: definition.KeySchema.map(keyElement),
    globalSecondaryIndexes: definition.GlobalSecondaryIndexes.map((index) => ({
      indexName: index.IndexName,
      keySchema: index.KeySchema.map(keyElement),
      projection: { projectionType: index.Projection.ProjectionType },
    })),
    timeToLiveSpecification: { attributeName: "expires", enabled: true },
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    sseSpecification: { sseEnabled: true },
    deletionProtectionEnabled: deletionProtection,
  });
}

interface KeyElement {
  readonly AttributeName: string;
  readonly KeyType: string;
}

function keyElement({ AttributeName, KeyType }: KeyElement): { attributeName: string; keyType: string } {
  return { attributeName: AttributeName, keyType: KeyType };
}
