/**
 * Counts the WRITEs that reach a mount: loaded by `node --import` into the process that serves it, it tells with
 * SIGUSR2 what it has counted so far, in the file that ONESPOOL_TEST_WRITES names. Other processes are left alone.
 */
import { renameSync, writeFileSync } from "node:fs";

export interface WriteCounts {
  readonly writes: number;
  readonly bytes: number;
}

const file = process.env["ONESPOOL_TEST_WRITES"];
if (file !== undefined && process.argv[2] === "mount") {
  const { Files } = await import("../../fs/files/files.ts");
  const counts = { writes: 0, bytes: 0 };
  // oxlint-disable-next-line typescript/unbound-method: it is called with its own object
  const { write } = Files.prototype;
  Files.prototype.write = function (this: InstanceType<typeof Files>, ...args) {
    counts.writes++;
    counts.bytes += args[0].data.length;
    return write.apply(this, args);
  };
  process.on("SIGUSR2", () => {
    // In one piece: whoever waits for the file reads all of it.
    writeFileSync(`${file}.new`, JSON.stringify(counts));
    renameSync(`${file}.new`, file);
  });
}
