import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createBoxWorld } from "./box-world.ts";
import { startChild } from "./child.ts";
import { type Measure, median, number } from "./measure.ts";

const rounds = 15;

/** How long a shell waits for a short command, beside a Node that does nothing. */
export const coldStart: Measure = {
  name: "cold-start",
  title: "Cold start of the command line",
  async run(progress) {
    const world = await createBoxWorld({ machines: 0 });
    const options = { configPath: world.configPath, standIn: true };
    const box = await startChild(new URL("./box-server.ts", import.meta.url), options);
    const commands = commandsOf(`http://127.0.0.1:${world.port}`);
    const took = new Map<string, number[]>(commands.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, parameters } of commands) took.get(name)?.push(await run(parameters));
      if (round % 5 === 0) progress(`round ${round}/${rounds}`);
    }
    await box.stop();
    await world.remove();
    const bareMilliseconds = median(took.get("node -e 0") ?? []);
    const results = [...took].map(([name, all]) => {
      const milliseconds = median(all);
      return { name, milliseconds, ratio: milliseconds / bareMilliseconds };
    });
    return {
      tables: [
        {
          columns: ["command", "ms", "of bare node"],
          rows: results.map(({ name, milliseconds, ratio }) => [name, number(milliseconds), number(ratio)]),
        },
      ],
      notes: [
        `Medians of ${rounds} rounds in turn. From source, Node strips the types of each file as it loads it.`,
      ],
      values: { rounds, results },
    };
  },
};

interface Command {
  readonly name: string;
  readonly parameters: readonly string[];
}

function commandsOf(url: string): readonly Command[] {
  const programs = [
    { from: "source", file: fileURLToPath(new URL("../src/cli/main.ts", import.meta.url)) },
    { from: "dist", file: fileURLToPath(new URL("../dist/cli/main.js", import.meta.url)) },
  ].filter(({ file }) => existsSync(file));
  return [
    { name: "node -e 0", parameters: ["-e", "0"] },
    ...programs.flatMap(({ from, file }) => [
      { name: `mayfly --help (${from})`, parameters: [file, "--help"] },
      { name: `mayfly status (${from})`, parameters: [file, "status", "--url", url] },
    ]),
  ];
}

function run(parameters: readonly string[]): Promise<number> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, parameters, { stdio: "ignore" });
    child.once("error", reject);
    child.once("exit", (code) => {
      // `status` answers 1 when something needs an operator, as here, where nothing may be launched.
      if (code === 0 || code === 1) resolve(performance.now() - begun);
      else reject(new Error(`${parameters.join(" ")} ended with ${code}.`));
    });
  });
}
