/**
 * A process that serves a whole spool at argv[2], on a simulated disk that can be made to fail, and does what its parent
 * says: a process must never touch a mount that it serves. The disk is in memory, so that its power can go as well.
 */
import { assertNever } from "../../base/assert.ts";
import { mountKernel } from "../../fs/kernel/mount.ts";
import type { Mounted } from "../../fs/mounted.ts";
import { Spool } from "../../fs/spool.ts";
import { checkStore } from "../../fs/store/check.ts";
import { Store } from "../../fs/store/store.ts";
import { STORE } from "./cut-life.ts";
import { FaultyDisk } from "./faulty-disk.ts";
import type { FaultyCall } from "./faulty-disk.ts";
import { type CutChoice, SimulatedMachine } from "./simulated-machine.ts";

export type Command =
  /** From now on these calls of the disk fail; `count`: the first ones only. */
  | {
      readonly do: "fail";
      readonly calls: readonly FaultyCall[];
      readonly code: string;
      readonly count?: number;
    }
  /** Answers how many calls have failed. */
  | { readonly do: "heal" }
  /** The process is killed, or the power goes; then it starts again. Calls that fail then still do. */
  | { readonly do: "restart"; readonly choice: CutChoice }
  /** Unmounts, and answers what is wrong with the store, and what was relied on and must not be. */
  | { readonly do: "end" };

export type Numbered = Command & { readonly id: number };

const [, , mountpoint = ""] = process.argv;

class Served {
  machine = new SimulatedMachine();
  disk = this.#faulty();
  failed = 0;
  spool!: Spool;
  mounted: Mounted | undefined;

  async start(): Promise<void> {
    this.spool = await Spool.open(STORE, {
      create: true,
      openStore: (directory, options) =>
        Store.open(directory, { ...options, disk: this.disk, indexKind: this.machine.indexKind }),
    });
    this.mounted = await mountKernel(mountpoint, this.spool.operations);
    this.spool.setInvalidator(this.mounted.invalidator);
  }

  fail(calls: readonly FaultyCall[], code: string, count = Infinity): void {
    this.failed = 0;
    this.disk.fault = (call) => {
      if (!calls.includes(call) || this.failed >= count) return undefined;
      this.failed++;
      return code;
    };
  }

  heal(): number {
    this.disk.fault = () => undefined;
    return this.failed;
  }

  async restart(choice: CutChoice): Promise<string> {
    if (this.mounted !== undefined) {
      // An unmount makes nothing durable.
      await this.mounted.unmount();
      this.machine.power.cut();
      await this.spool.close().catch(() => undefined);
      this.mounted = undefined;
    }
    this.machine = this.machine.restarted(choice);
    const { fault } = this.disk;
    this.disk = this.#faulty();
    this.disk.fault = fault;
    try {
      await this.start();
      return "started";
    } catch (error) {
      return (error as Error).message;
    }
  }

  async end(): Promise<readonly string[]> {
    await this.mounted?.unmount();
    await this.spool.close();
    const { disk, indexKind } = this.machine;
    const { problems } = await checkStore(STORE, { disk, indexKind, rebuildIndex: true });
    return [...problems, ...this.disk.violations];
  }

  /** A sync that fails leaves some of what it was to write on the disk. */
  #faulty(): FaultyDisk {
    return new FaultyDisk(this.machine.disk, (fd) => {
      const { disk, power } = this.machine;
      power.failAt({ call: "fdatasync", code: "EIO", count: 1 });
      try {
        disk.fdatasync(fd);
      } catch {}
      power.heal();
    });
  }
}

const served = new Served();

function obey(command: Command): unknown {
  switch (command.do) {
    case "fail":
      return served.fail(command.calls, command.code, command.count);
    case "heal":
      return served.heal();
    case "restart":
      return served.restart(command.choice);
    case "end":
      return served.end();
    default:
      return assertNever(command);
  }
}

process.on("message", (command: Numbered) => {
  void Promise.resolve(obey(command)).then((value) => {
    process.send?.({ id: command.id, value: value ?? null });
    if (command.do === "end") process.disconnect();
  });
});
await served.start();
process.send?.({ id: 0, value: "mounted" });
