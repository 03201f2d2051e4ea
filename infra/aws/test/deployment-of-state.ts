import type { Fields } from "./cloudformation.ts";
import { byName, type Deployment, functionIn, nameIn, sortedGrants, sortedTexts } from "./deployment.ts";

/** What Terraform made, from `terraform show -json`. */
export function deploymentOfState(text: string): Deployment {
  const all = resourcesOf(JSON.parse(text).values.root_module);
  const first = (type: string): Fields => all.find((resource) => resource.type === type)?.values ?? {};
  const ids: readonly (readonly [string, string])[] = [
    [first("aws_apigatewayv2_api").id, "the-api"],
    [first("aws_security_group").id, "the-security-group"],
  ];
  const named = JSON.parse(
    ids
      .reduce((whole, [id, name]) => whole.replaceAll(id, name), JSON.stringify(all))
      .replaceAll(/http:\/\/127\.0\.0\.1:\d+\/(\d{12})/g, "https://sqs.eu-west-1.amazonaws.com/$1"),
  ) as readonly StateResource[];
  const ofType = (type: string): readonly Fields[] =>
    named.filter((resource) => resource.type === type).map(({ values }) => values);
  const [api = {}] = ofType("aws_apigatewayv2_api");
  const [stage = {}] = ofType("aws_apigatewayv2_stage");
  const [table = {}] = ofType("aws_dynamodb_table");
  const [group = {}] = ofType("aws_security_group");
  const [dashboard = {}] = ofType("aws_cloudwatch_dashboard");
  const integrations = new Map(
    ofType("aws_apigatewayv2_integration").map((made) => [made.id, made.integration_uri]),
  );
  const targets = ofType("aws_cloudwatch_event_target");
  return {
    functions: byName(ofType("aws_lambda_function"), "function_name", (made) => ({
      does: made.description,
      runtime: [made.runtime, made.handler, made.architectures],
      limits: [made.timeout, made.memory_size, made.reserved_concurrent_executions],
      role: made.role,
      environment: made.environment[0].variables,
    })),
    trust: byName(ofType("aws_iam_role"), "name", ({ assume_role_policy }) => JSON.parse(assume_role_policy)),
    policies: Object.fromEntries(
      ofType("aws_iam_role_policy").map(({ role, name, policy }) => [
        `${role} ${name}`,
        sortedGrants(JSON.parse(policy)),
      ]),
    ),
    clusters: byName(
      ofType("aws_ecs_cluster_capacity_providers"),
      "cluster_name",
      ({ capacity_providers }) => capacity_providers,
    ),
    repositories: byName(ofType("aws_ecr_repository"), "name", (repository) => ({
      tags: repository.image_tag_mutability,
      scans: repository.image_scanning_configuration[0].scan_on_push,
      encrypted: repository.encryption_configuration[0].encryption_type,
      keeps: JSON.parse(
        ofType("aws_ecr_lifecycle_policy").find((policy) => policy.repository === repository.name)?.policy,
      ),
      emptied: repository.force_delete,
    })),
    builders: byName(ofType("aws_codebuild_project"), "name", (project) => ({
      says: project.description,
      role: project.service_role,
      source: [project.source[0].type, JSON.parse(project.source[0].buildspec)],
      makes: project.artifacts[0].type,
      on: [
        ...[project.environment[0].type, project.environment[0].compute_type, project.environment[0].image],
      ],
      privileged: project.environment[0].privileged_mode,
      minutes: [project.build_timeout, project.queued_timeout],
      log: [
        ...[project.logs_config[0].cloudwatch_logs[0].status],
        ...[project.logs_config[0].cloudwatch_logs[0].group_name],
      ].sort(),
    })),
    profiles: byName(ofType("aws_iam_instance_profile"), "name", ({ role }) => [role]),
    queues: byName(ofType("aws_sqs_queue"), "name", (queue) => ({
      visibilitySeconds: queue.visibility_timeout_seconds,
      retentionSeconds: queue.message_retention_seconds,
      redrive: queue.redrive_policy ? JSON.parse(queue.redrive_policy) : "none",
      encrypted: queue.sqs_managed_sse_enabled,
    })),
    queuePolicies: byName(
      ofType("aws_sqs_queue_policy").map(({ queue_url, policy }) => ({ name: nameIn(queue_url), policy })),
      "name",
      ({ policy }) => sortedTexts(JSON.parse(policy)),
    ),
    triggers: byName(ofType("aws_lambda_event_source_mapping"), "function_name", (trigger) => ({
      queue: trigger.event_source_arn,
      batch: [trigger.batch_size, trigger.maximum_batching_window_in_seconds],
      mostAtOnce: trigger.scaling_config[0]?.maximum_concurrency,
      answers: trigger.function_response_types,
    })),
    rules: byName(ofType("aws_cloudwatch_event_rule"), "name", (rule) => ({
      says: rule.description,
      when: rule.schedule_expression || JSON.parse(rule.event_pattern),
      targets: targets
        .filter((target) => target.rule === rule.name)
        .map(({ target_id, arn, retry_policy: [retry] }) => [
          target_id,
          arn,
          retry === undefined
            ? "as usual"
            : [retry.maximum_retry_attempts, retry.maximum_event_age_in_seconds],
        ]),
    })),
    invocations: byName(ofType("aws_lambda_function_event_invoke_config"), "function_name", (config) => [
      ...[config.qualifier, config.maximum_retry_attempts, config.maximum_event_age_in_seconds],
    ]),
    callers: Object.fromEntries(
      ofType("aws_lambda_permission").map(({ action, function_name, principal, source_arn }) => [
        `${principal} ${function_name}`,
        [action, source_arn],
      ]),
    ),
    api: {
      [api.name]: [
        ...[api.protocol_type, api.description, stage.name, stage.auto_deploy],
        ...[
          stage.default_route_settings[0].throttling_rate_limit,
          stage.default_route_settings[0].throttling_burst_limit,
        ],
        ...[stage.access_log_settings[0].destination_arn, JSON.parse(stage.access_log_settings[0].format)],
      ],
    },
    integrations: byName(ofType("aws_apigatewayv2_integration"), "integration_uri", (integration) => [
      ...[integration.integration_type, integration.payload_format_version, integration.timeout_milliseconds],
    ]),
    routes: byName(ofType("aws_apigatewayv2_route"), "route_key", ({ authorization_type, target }) => [
      ...[authorization_type, functionIn(integrations.get(target.replace("integrations/", "")))],
    ]),
    alarms: byName(ofType("aws_cloudwatch_metric_alarm"), "alarm_name", (alarm) => ({
      says: alarm.alarm_description,
      metric: [alarm.namespace, alarm.metric_name, alarm.statistic],
      of: alarm.dimensions,
      when: [alarm.comparison_operator, alarm.threshold, alarm.treat_missing_data],
      periods: [alarm.period, alarm.evaluation_periods],
      tells: [alarm.alarm_actions ?? [], alarm.ok_actions ?? []],
    })),
    table: {
      name: table.name,
      billing: table.billing_mode,
      keys: [table.hash_key, table.range_key],
      attributes: byName(table.attribute, "name", ({ type }) => type),
      indexes: byName(table.global_secondary_index, "name", ({ hash_key, range_key, projection_type }) => [
        ...[[hash_key, range_key].filter(Boolean), projection_type],
      ]),
      expires: [table.ttl[0].attribute_name, table.ttl[0].enabled],
      recovery: table.point_in_time_recovery[0].enabled,
      encrypted: table.server_side_encryption[0].enabled,
      isProtected: table.deletion_protection_enabled,
    },
    logs: byName(ofType("aws_cloudwatch_log_group"), "name", ({ retention_in_days }) => retention_in_days),
    launchTemplates: byName(ofType("aws_launch_template"), "name", (template) => {
      const [device] = template.block_device_mappings;
      const [metadata] = template.metadata_options;
      return {
        image: template.image_id,
        atShutdown: template.instance_initiated_shutdown_behavior,
        userData: withEndpoint(Buffer.from(template.user_data, "base64").toString(), ids),
        profile: template.iam_instance_profile[0].arn,
        groups: template.vpc_security_group_ids,
        metadata: [
          ...[metadata.http_endpoint, metadata.http_tokens],
          ...[metadata.http_put_response_hop_limit, metadata.instance_metadata_tags],
        ],
        disk: [
          ...[device.device_name, device.ebs[0].volume_type, device.ebs[0].volume_size],
          ...[device.ebs[0].encrypted === "true", device.ebs[0].delete_on_termination === "true"],
        ],
        tags: Object.entries(template.tags),
      };
    }),
    securityGroup: {
      name: group.name,
      says: group.description,
      comesIn: group.ingress,
      goesOut: group.egress
        .flatMap(({ cidr_blocks, ipv6_cidr_blocks }: Fields) => [...cidr_blocks, ...ipv6_cidr_blocks])
        .sort(),
    },
    dashboard: { name: dashboard.dashboard_name, body: JSON.parse(dashboard.dashboard_body) },
  };
}

interface StateResource {
  readonly type: string;
  readonly values: Fields;
}

interface StateModule {
  readonly resources?: readonly StateResource[];
  readonly child_modules?: readonly StateModule[];
}

function resourcesOf({ resources = [], child_modules = [] }: StateModule): readonly StateResource[] {
  return [...resources, ...child_modules.flatMap(resourcesOf)];
}

function withEndpoint(userData: string, ids: readonly (readonly [string, string])[]): string {
  return ids.reduce((text, [id, name]) => text.replaceAll(id, name), userData);
}
