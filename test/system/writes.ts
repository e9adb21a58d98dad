/** What programs wrote to a mount: the counts of write-counter.ts, asked for from outside. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WriteCounts } from "./write-counter.ts";

const ANSWER_MS_MAX = 20_000;

export class Writes {
  readonly #directory: string;
  readonly #before = process.env["NODE_OPTIONS"];

  /** Mounts whose processes are started from now on count. */
  constructor(parent = tmpdir()) {
    this.#directory = mkdtempSync(join(parent, "onespool-writes-"));
    const module = new URL("write-counter.js", import.meta.url).href;
    process.env["NODE_OPTIONS"] = `${this.#before ?? ""} --import ${module}`.trim();
    process.env["ONESPOOL_TEST_WRITES"] = this.#file;
  }

  get #file(): string {
    return join(this.#directory, "counts");
  }

  /** Since the start of the process that serves the mount. */
  async of(pid: number): Promise<WriteCounts> {
    rmSync(this.#file, { force: true });
    process.kill(pid, "SIGUSR2");
    const deadline = Date.now() + ANSWER_MS_MAX;
    for (;;) {
      try {
        return JSON.parse(readFileSync(this.#file, "utf8")) as WriteCounts;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await sleep(10);
      }
    }
  }

  end(): void {
    delete process.env["ONESPOOL_TEST_WRITES"];
    if (this.#before === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = this.#before;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
