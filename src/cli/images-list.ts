import type { ImageStatus } from "../core/image-status.ts";
import { type ConnectionOptions, connect } from "./connection.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { renderImages } from "./images-table.ts";
import type { Terminal } from "./terminal.ts";

export interface ImagesListOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** `mayfly images list`: the images that are made of others, and what waits for them. */
export async function imagesListCommand(options: ImagesListOptions, terminal: Terminal): Promise<ExitCode> {
  const client = await connect(options);
  const { body, now } = await client.get("/api/images", "images");
  if (options.json === true) {
    terminal.printJson(body);
    return exitCodes.ok;
  }
  const { images } = body as { readonly images: readonly ImageStatus[] };
  if (images.length > 0) terminal.print(renderImages(images, { ...terminal.screen, now }));
  else
    terminal.print(
      "No image was ever built. Presets with fargate.buildImages or a pipeline of images.pipelines get theirs when it is needed.",
    );
  return exitCodes.ok;
}
