import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { build } from "esbuild";
import { type FunctionName, functions } from "../src/targets/aws/functions.ts";

/*
 * Makes one file of each function on AWS: CommonJS, because an ESM that imports node:http makes Node load undici
 * (20 ms on Node 24); without packages beside it, because reading many small files is what a cold start waits for.
 */

export interface BundledFunction {
  readonly name: FunctionName;
  readonly file: string;
  readonly bytes: number;
  /** As in a zip, without its folder of names. */
  readonly zippedBytes: number;
  /** The sources that are in it, relative to the root of the repository, and how much of each. */
  readonly inputs: readonly { readonly path: string; readonly bytes: number }[];
}

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * `<folder>/<function>/index.js` for each function, and `<folder>/maps/<function>.js.map` for those who read a stack.
 */
export async function bundleFunctions(folder: string): Promise<readonly BundledFunction[]> {
  await mkdir(join(folder, "maps"), { recursive: true });
  return Promise.all(functions.map(({ name }) => bundleFunction(name, folder)));
}

async function bundleFunction(name: FunctionName, folder: string): Promise<BundledFunction> {
  const file = join(folder, name, "index.js");
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`src/targets/aws/${name}.lambda.ts`],
    outfile: file,
    bundle: true,
    platform: "node",
    target: "node22",
    format: "cjs",
    minify: true,
    sourcemap: "external",
    metafile: true,
    logLevel: "error",
  });
  await writeFile(join(folder, "maps", `${name}.js.map`), await portableMap(`${file}.map`));
  await rm(`${file}.map`);
  const content = await readFile(file);
  const inputs = Object.values(metafile.outputs)
    .flatMap((output) => Object.entries(output.inputs))
    .map(([path, { bytesInOutput }]) => ({ path, bytes: bytesInOutput }))
    .filter(({ bytes }) => bytes > 0);
  return {
    name,
    file,
    bytes: content.byteLength,
    zippedBytes: deflateRawSync(content, { level: 9 }).byteLength,
    inputs,
  };
}

/** Sources by their place in this repository, or in node_modules: not by where they were seen from the folder of the build. */
async function portableMap(file: string): Promise<string> {
  const map = JSON.parse(await readFile(file, "utf8")) as { readonly sources: readonly string[] };
  const sources = map.sources.map((source) => {
    const path = relative(root, resolve(dirname(file), source));
    return path.slice(Math.max(0, path.indexOf("node_modules/")));
  });
  return JSON.stringify({ ...map, sources });
}
