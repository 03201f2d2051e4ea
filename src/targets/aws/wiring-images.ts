import { createCodeBuildImages } from "../../adapters/images/codebuild.ts";
import type { ImageBuilder } from "../../ports/images.ts";
import type { Basics } from "./wiring.ts";

/** Who builds images, where the infrastructure has made what that needs. */
export function openImages({ environment, client, ports, document }: Basics): {
  readonly images?: ImageBuilder;
} {
  const { MAYFLY_IMAGE_PROJECT: project, MAYFLY_IMAGE_REPOSITORY: repository } = environment;
  if (!project || !repository || document.tasks === undefined) return {};
  const { buildspec, version: recipe } = document.tasks.recipe;
  return {
    images: createCodeBuildImages({ client, ...ports, project, repository, buildspec, recipe }),
  };
}
