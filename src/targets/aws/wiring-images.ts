import { createCodeBuildImages } from "../../adapters/images/codebuild.ts";
import { createEc2ImageBuilder } from "../../adapters/images/image-builder.ts";
import { imageKindOf } from "../../core/route.ts";
import type { ImageBuilder } from "../../ports/images.ts";
import type { Basics } from "./wiring.ts";

/** Who builds images, where the infrastructure has made what that needs. */
export function openImages(basics: Basics): { readonly images?: ImageBuilder } {
  const containers = containerBuilder(basics);
  const machines = machineBuilder(basics);
  if (containers === undefined && machines === undefined) return {};
  return { images: byKind(containers, machines) };
}

function containerBuilder({ environment, client, ports, document }: Basics): ImageBuilder | undefined {
  const { MAYFLY_IMAGE_PROJECT: project, MAYFLY_IMAGE_REPOSITORY: repository } = environment;
  if (!project || !repository || document.tasks === undefined) return undefined;
  const { buildspec, version: recipe } = document.tasks.recipe;
  return createCodeBuildImages({ client, ...ports, project, repository, buildspec, recipe });
}

function machineBuilder({ environment, client, ports, document }: Basics): ImageBuilder | undefined {
  const { pipelines: recipes } = document;
  const { MAYFLY_IMAGE_PIPELINES: pipelineArns } = environment;
  if (!pipelineArns || recipes === undefined) return undefined;
  return createEc2ImageBuilder({ client, log: ports.log, pipelineArns, recipes });
}

/**
 * Containers' images are built by one, machines' by the other. A build is its builder's by how that names builds: the
 * names of Image Builder are ARNs of images.
 */
function byKind(containers: ImageBuilder | undefined, machines: ImageBuilder | undefined): ImageBuilder {
  const ofBase = (base: string) => (imageKindOf(base) === "machine" ? machines : containers);
  const ofBuild = (id: string) => (id.includes(":imagebuilder:") ? machines : containers);
  return {
    methodOf: (base) => ofBase(base)?.methodOf(base),
    start: async (order) => {
      const builder = ofBase(order.base);
      // `methodOf` has said so before.
      if (builder === undefined) throw new Error(`Nobody builds images of ${order.base}.`);
      return await builder.start(order);
    },
    look: async (build) =>
      (await ofBuild(build.id)?.look(build)) ?? {
        kind: "failed",
        reason: "Who built it is not deployed any more.",
      },
    log: async (build) => (await ofBuild(build.id)?.log(build)) ?? [],
    findings: async (reference) => await ofBase(reference)?.findings(reference),
  };
}
