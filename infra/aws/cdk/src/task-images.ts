import { type CfnCondition, Stack } from "aws-cdk-lib";
import { CfnProject } from "aws-cdk-lib/aws-codebuild";
import { CfnRepository } from "aws-cdk-lib/aws-ecr";
import { CfnRule } from "aws-cdk-lib/aws-events";
import { CfnRole } from "aws-cdk-lib/aws-iam";
import { CfnLogGroup } from "aws-cdk-lib/aws-logs";
import type { CfnQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { allow, trust } from "./function.ts";
import { arnHere } from "./place.ts";
import type { MayflyProps } from "./props.ts";

/** What builds the images of tasks. */
export interface TaskImages {
  readonly projectArn: string;
  /** With all of its streams. */
  readonly logArn: string;
  readonly repositoryArn: string;
  /** Of the functions that begin builds and show them. */
  readonly variables: Readonly<Record<string, string>>;
}

/** After so many days an image is dropped. The code starts nothing from one that is older than `servesSeconds`. */
const keptDays = 90;

/**
 * A repository, and a project that may push to it and write its log, and nothing else. Both cost nothing while nothing is
 * built or kept. What a build does comes with its order, from the same version as the function that gives it.
 */
export function addTaskImages(
  scope: Construct,
  props: MayflyProps,
  lifecycle: CfnQueue,
  condition: CfnCondition | undefined,
): TaskImages {
  const name = `${props.deployment}-task-images`;
  const repository = addRepository(scope, name);
  const log = new CfnLogGroup(scope, "TaskImageLogGroup", {
    logGroupName: `/mayfly/${props.deployment}/task-images`,
    retentionInDays: props.logRetentionDays,
  });
  const role = addRole(scope, name, log);
  const project = addProject(scope, name, role, log);
  const rule = new CfnRule(scope, "TaskImageRule", {
    name: taskImageRuleName(props),
    description: "A build of an image has ended.",
    eventPattern: {
      source: ["aws.codebuild"],
      "detail-type": ["CodeBuild Build State Change"],
      detail: { "project-name": [name], "build-status": [{ "anything-but": ["IN_PROGRESS"] }] },
    },
    targets: [{ id: "lifecycle", arn: lifecycle.attrArn }],
  });
  for (const made of [repository, log, role, project, rule]) {
    if (condition !== undefined) made.cfnOptions.condition = condition;
  }
  const { account, region, urlSuffix } = Stack.of(scope);
  return {
    projectArn: arnHere(scope, "codebuild", `project/${name}`),
    logArn: arnHere(scope, "logs", `log-group:/mayfly/${props.deployment}/task-images:*`),
    repositoryArn: arnHere(scope, "ecr", `repository/${name}`),
    variables: {
      MAYFLY_IMAGE_PROJECT: name,
      MAYFLY_IMAGE_REPOSITORY: `${account}.dkr.ecr.${region}.${urlSuffix}/${name}`,
    },
  };
}

export function taskImageRuleName({ deployment }: Pick<MayflyProps, "deployment">): string {
  return `${deployment}-task-image`;
}

/** A tag is the hash of what is under it, and never means something else. */
function addRepository(scope: Construct, repositoryName: string): CfnRepository {
  const rules = [
    {
      rulePriority: 1,
      description: "What a build left behind that did not end",
      selection: { tagStatus: "untagged", countType: "sinceImagePushed", countUnit: "days", countNumber: 1 },
      action: { type: "expire" },
    },
    {
      rulePriority: 2,
      description: "Longer than any image serves",
      selection: {
        tagStatus: "any",
        countType: "sinceImagePushed",
        countUnit: "days",
        countNumber: keptDays,
      },
      action: { type: "expire" },
    },
  ];
  return new CfnRepository(scope, "TaskImageRepository", {
    repositoryName,
    imageTagMutability: "IMMUTABLE",
    imageScanningConfiguration: { scanOnPush: true },
    encryptionConfiguration: { encryptionType: "AES256" },
    lifecyclePolicy: { lifecyclePolicyText: JSON.stringify({ rules }) },
    // Everything in it can be built again.
    emptyOnDelete: true,
  });
}

function addRole(scope: Construct, roleName: string, log: CfnLogGroup): CfnRole {
  const statements = [
    // AWS knows no resource for it.
    allow(["ecr:GetAuthorizationToken"], "*"),
    allow(
      [
        ...["ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"],
        ...["ecr:CompleteLayerUpload", "ecr:PutImage"],
        // With these, docker sees whether an image is there already.
        ...["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
      ],
      arnHere(scope, "ecr", `repository/${roleName}`),
    ),
    allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.attrArn),
  ];
  return new CfnRole(scope, "TaskImageRole", {
    roleName,
    description: "A build of an image of tasks",
    assumeRolePolicyDocument: trust("codebuild.amazonaws.com"),
    policies: [{ policyName: "build", policyDocument: { Version: "2012-10-17", Statement: statements } }],
  });
}

/**
 * In privileged mode, because `docker build` needs a daemon, and CodeBuild starts none without it. What runs of the base
 * runs in a container of that daemon, without privileges, and knows no way to the credentials of the role.
 */
function addProject(scope: Construct, name: string, role: CfnRole, log: CfnLogGroup): CfnProject {
  const buildSpec = {
    version: 0.2,
    phases: { build: { commands: ["echo Mayfly orders builds.", "exit 1"] } },
  };
  return new CfnProject(scope, "TaskImageProject", {
    name,
    description: "Builds the images of tasks, as the function scaleup orders them",
    serviceRole: role.attrArn,
    source: { type: "NO_SOURCE", buildSpec: JSON.stringify(buildSpec) },
    artifacts: { type: "NO_ARTIFACTS" },
    environment: {
      type: "LINUX_CONTAINER",
      computeType: "BUILD_GENERAL1_SMALL",
      image: "aws/codebuild/amazonlinux-x86_64-standard:5.0",
      privilegedMode: true,
    },
    // Together less than `buildLimitSeconds`, after which nobody waits for it any more.
    timeoutInMinutes: 30,
    queuedTimeoutInMinutes: 10,
    logsConfig: { cloudWatchLogs: { status: "ENABLED", groupName: log.ref } },
  });
}
