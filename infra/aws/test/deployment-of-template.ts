import type { Fields, Resolved } from "./cloudformation.ts";
import {
  byName,
  type Deployment,
  functionIn,
  keysOf,
  nameIn,
  sortedGrants,
  sortedTexts,
} from "./deployment.ts";

/** What CloudFormation makes of the template. */
export function deploymentOfTemplate({ resources, ofType }: Resolved): Deployment {
  const [stage = {}] = ofType("AWS::ApiGatewayV2::Stage");
  const [table = {}] = ofType("AWS::DynamoDB::Table");
  const [group = {}] = ofType("AWS::EC2::SecurityGroup");
  const [dashboard = {}] = ofType("AWS::CloudWatch::Dashboard");
  const roles = ofType("AWS::IAM::Role");
  const inline = roles.flatMap(({ RoleName, Policies = [] }) =>
    Policies.map((policy: Fields) => ({ RoleName, ...policy })),
  );
  const targetOf = (target: string): string =>
    functionIn(resources.get(target.replace(/^integrations\/the-/, ""))?.Properties.IntegrationUri);
  return {
    functions: byName(ofType("AWS::Lambda::Function"), "FunctionName", (made) => ({
      does: made.Description,
      runtime: [made.Runtime, made.Handler, made.Architectures],
      limits: [made.Timeout, made.MemorySize, made.ReservedConcurrentExecutions ?? -1],
      role: made.Role,
      environment: made.Environment.Variables,
    })),
    trust: byName(roles, "RoleName", ({ AssumeRolePolicyDocument }) => AssumeRolePolicyDocument),
    policies: Object.fromEntries(
      [...inline, ...ofType("AWS::IAM::RolePolicy")].map(({ RoleName, PolicyName, PolicyDocument }) => [
        `${RoleName} ${PolicyName}`,
        sortedGrants(PolicyDocument),
      ]),
    ),
    clusters: byName(
      ofType("AWS::ECS::Cluster"),
      "ClusterName",
      ({ CapacityProviders }) => CapacityProviders,
    ),
    repositories: byName(ofType("AWS::ECR::Repository"), "RepositoryName", (repository) => ({
      tags: repository.ImageTagMutability,
      scans: repository.ImageScanningConfiguration.ScanOnPush,
      encrypted: repository.EncryptionConfiguration.EncryptionType,
      keeps: JSON.parse(repository.LifecyclePolicy.LifecyclePolicyText),
      emptied: repository.EmptyOnDelete,
    })),
    builders: byName(ofType("AWS::CodeBuild::Project"), "Name", (project) => ({
      says: project.Description,
      role: project.ServiceRole,
      source: [project.Source.Type, JSON.parse(project.Source.BuildSpec)],
      makes: project.Artifacts.Type,
      on: [project.Environment.Type, project.Environment.ComputeType, project.Environment.Image],
      privileged: project.Environment.PrivilegedMode,
      minutes: [project.TimeoutInMinutes, project.QueuedTimeoutInMinutes],
      log: Object.values(project.LogsConfig.CloudWatchLogs).sort(),
    })),
    profiles: byName(ofType("AWS::IAM::InstanceProfile"), "InstanceProfileName", ({ Roles }) => Roles),
    queues: byName(ofType("AWS::SQS::Queue"), "QueueName", (queue) => ({
      visibilitySeconds: queue.VisibilityTimeout ?? 30,
      retentionSeconds: queue.MessageRetentionPeriod,
      redrive: queue.RedrivePolicy ?? "none",
      encrypted: queue.SqsManagedSseEnabled,
    })),
    queuePolicies: byName(
      ofType("AWS::SQS::QueuePolicy").map(({ Queues, PolicyDocument }) => ({
        name: nameIn(Queues[0]),
        PolicyDocument,
      })),
      "name",
      ({ PolicyDocument }) => sortedTexts(PolicyDocument),
    ),
    triggers: byName(ofType("AWS::Lambda::EventSourceMapping"), "FunctionName", (trigger) => ({
      queue: trigger.EventSourceArn,
      batch: [trigger.BatchSize, trigger.MaximumBatchingWindowInSeconds ?? 0],
      mostAtOnce: trigger.ScalingConfig.MaximumConcurrency,
      answers: trigger.FunctionResponseTypes,
    })),
    rules: byName(ofType("AWS::Events::Rule"), "Name", (rule) => ({
      says: rule.Description,
      when: rule.ScheduleExpression ?? rule.EventPattern,
      targets: rule.Targets.map(({ Id, Arn, RetryPolicy }: Fields) => [
        Id,
        Arn,
        RetryPolicy === undefined
          ? "as usual"
          : [RetryPolicy.MaximumRetryAttempts, RetryPolicy.MaximumEventAgeInSeconds],
      ]),
    })),
    invocations: byName(ofType("AWS::Lambda::EventInvokeConfig"), "FunctionName", (config) => [
      ...[config.Qualifier, config.MaximumRetryAttempts, config.MaximumEventAgeInSeconds],
    ]),
    callers: Object.fromEntries(
      ofType("AWS::Lambda::Permission").map(({ Action, FunctionName, Principal, SourceArn }) => [
        `${Principal} ${FunctionName}`,
        [Action, SourceArn],
      ]),
    ),
    api: byName(ofType("AWS::ApiGatewayV2::Api"), "Name", ({ ProtocolType, Description }) => [
      ...[ProtocolType, Description, stage.StageName, stage.AutoDeploy],
      ...[stage.DefaultRouteSettings.ThrottlingRateLimit, stage.DefaultRouteSettings.ThrottlingBurstLimit],
      ...[
        stage.AccessLogSettings.DestinationArn.replace(/:\*$/, ""),
        JSON.parse(stage.AccessLogSettings.Format),
      ],
    ]),
    integrations: byName(ofType("AWS::ApiGatewayV2::Integration"), "IntegrationUri", (integration) => [
      ...[integration.IntegrationType, integration.PayloadFormatVersion, integration.TimeoutInMillis],
    ]),
    routes: byName(ofType("AWS::ApiGatewayV2::Route"), "RouteKey", ({ AuthorizationType, Target }) => [
      ...[AuthorizationType, targetOf(Target)],
    ]),
    alarms: byName(ofType("AWS::CloudWatch::Alarm"), "AlarmName", (alarm) => ({
      says: alarm.AlarmDescription,
      metric: [alarm.Namespace, alarm.MetricName, alarm.Statistic],
      of: Object.fromEntries(alarm.Dimensions.map(({ Name, Value }: Fields) => [Name, Value])),
      when: [alarm.ComparisonOperator, alarm.Threshold, alarm.TreatMissingData],
      periods: [alarm.Period, alarm.EvaluationPeriods],
      tells: [alarm.AlarmActions ?? [], alarm.OKActions ?? []],
    })),
    table: {
      name: table.TableName,
      billing: table.BillingMode,
      keys: keysOf(table.KeySchema),
      attributes: Object.fromEntries(
        table.AttributeDefinitions.map(({ AttributeName, AttributeType }: Fields) => [
          AttributeName,
          AttributeType,
        ]),
      ),
      indexes: byName(table.GlobalSecondaryIndexes, "IndexName", ({ KeySchema, Projection }) => [
        ...[keysOf(KeySchema), Projection.ProjectionType],
      ]),
      expires: [table.TimeToLiveSpecification.AttributeName, table.TimeToLiveSpecification.Enabled],
      recovery: table.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled,
      encrypted: table.SSESpecification.SSEEnabled,
      isProtected: table.DeletionProtectionEnabled,
    },
    logs: byName(ofType("AWS::Logs::LogGroup"), "LogGroupName", ({ RetentionInDays }) => RetentionInDays),
    launchTemplates: byName(ofType("AWS::EC2::LaunchTemplate"), "LaunchTemplateName", (template) => {
      const { LaunchTemplateData: data, TagSpecifications } = template;
      const [device] = data.BlockDeviceMappings;
      return {
        image: data.ImageId,
        atShutdown: data.InstanceInitiatedShutdownBehavior,
        userData: Buffer.from(data.UserData, "base64").toString(),
        profile: data.IamInstanceProfile.Arn,
        groups: data.SecurityGroupIds,
        metadata: [
          ...[data.MetadataOptions.HttpEndpoint, data.MetadataOptions.HttpTokens],
          ...[data.MetadataOptions.HttpPutResponseHopLimit, data.MetadataOptions.InstanceMetadataTags],
        ],
        disk: [
          ...[device.DeviceName, device.Ebs.VolumeType, device.Ebs.VolumeSize],
          ...[device.Ebs.Encrypted, device.Ebs.DeleteOnTermination],
        ],
        tags: TagSpecifications[0].Tags.map(({ Key, Value }: Fields) => [Key, Value]),
      };
    }),
    securityGroup: {
      name: group.GroupName,
      says: group.GroupDescription,
      comesIn: group.SecurityGroupIngress ?? [],
      goesOut: group.SecurityGroupEgress.flatMap(({ CidrIp, CidrIpv6 }: Fields) => CidrIp ?? CidrIpv6).sort(),
    },
    dashboard: { name: dashboard.DashboardName, body: JSON.parse(dashboard.DashboardBody) },
  };
}
