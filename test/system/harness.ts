/** A mount and programs for one test, gone at its end whatever happens. */
import { setTimeout as sleep } from "node:timers/promises";
import type t from "tap";
import { Program, type User } from "../suite/program.ts";
import { HintClient } from "./hints.ts";
import { missing, ServedMount, type MountSettings } from "./mount.ts";

type TestContext = Parameters<Parameters<typeof t.test>[0]>[0];

const waitMsMax = 60_000;

export class Harness {
  readonly mount: ServedMount;
  readonly #programs: Program[] = [];

  private constructor(mount: ServedMount) {
    this.mount = mount;
  }

  static async start(t: TestContext, settings: MountSettings): Promise<Harness> {
    const harness = new Harness(await ServedMount.start(settings));
    t.teardown(async () => {
      // A program that waits for the server goes only when the server is gone.
      await harness.mount.kill();
      await Promise.all(harness.#programs.map((program) => program.end()));
      await harness.mount.end();
    });
    return harness;
  }

  path(name: string): string {
    return `${this.mount.mountpoint}/${name}`;
  }

  program(user?: User): Program {
    const program = new Program(user);
    this.#programs.push(program);
    return program;
  }

  hints(program: Program): Promise<HintClient> {
    return HintClient.open(program, this.mount.mountpoint);
  }
}

/** Options of a test that needs a binding: why it is skipped, if it is. */
export function needs(
  binding: MountSettings["binding"],
  timeout: number,
): { timeout: number; skip?: string } {
  const reason = missing(binding);
  return reason === undefined ? { timeout } : { timeout, skip: reason };
}

/** Waits until something that will happen has happened; the time that it takes proves nothing. */
export async function eventually(what: string, is: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + waitMsMax;
  while (!(await is())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(10);
  }
}
