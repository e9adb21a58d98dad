/**
 * Loaded into every process of a server under test (NODE_OPTIONS=--import): at SIGUSR2 it writes what JavaScript objects
 * and buffers take after a collection to `memory-PID` in the directory of temporary files, which is the server's own.
 */
import { renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { lookAtMemory } from "./two-days/memory.ts";

setFlagsFromString("--expose-gc");
globalThis.gc = runInNewContext("gc") as NonNullable<typeof globalThis.gc>;
process.on("SIGUSR2", () => {
  void lookAtMemory().then((memory) => {
    const path = join(tmpdir(), `memory-${process.pid}`);
    writeFileSync(`${path}.new`, JSON.stringify(memory));
    renameSync(`${path}.new`, path);
  });
});
