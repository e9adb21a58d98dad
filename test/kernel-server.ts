/**
 * A process that mounts MemoryOperations at argv[2] and does what its parent says: a process must never
 * touch a mount that it serves, so the tests touch it from other processes.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { startInvalidationThread } from "../fs/kernel/invalidation.ts";
import { mountKernel } from "../fs/kernel/mount.ts";
import type { KernelMountOptions } from "../fs/kernel/mount.ts";
import type { Mounted } from "../fs/mounted.ts";
import { InvariantError, assertNever } from "../base/assert.ts";
import { MemoryOperations } from "./kernel-memory.ts";

export type Command =
  | { readonly do: "put"; readonly name: string; readonly text: string }
  /** As a hint does it: bytes change behind the kernel's back, then its cache is invalidated. */
  | { readonly do: "append"; readonly name: string; readonly text: string }
  | { readonly do: "appendSilently"; readonly name: string; readonly text: string }
  /** Notifications written by a thread of their own; the answer is what that thread answers. */
  | { readonly do: "notify"; readonly inodes: readonly number[] }
  | { readonly do: "calls" }
  | { readonly do: "slow"; readonly name: string }
  | { readonly do: "finishReads" }
  | { readonly do: "break" }
  | { readonly do: "state" }
  | { readonly do: "unmount" };

/** Commands are answered in the order in which they come to an end. */
export type Numbered = Command & { readonly id: number };

export type Answer =
  | { readonly is: "mounted" }
  | { readonly is: "failed"; readonly code: string; readonly message: string }
  | { readonly is: "done"; readonly id: number; readonly value: unknown }
  | { readonly is: "closed"; readonly state: State };

export interface State {
  readonly openHandles: number;
  readonly openDirectories: number;
  readonly forgotten: number;
  readonly slowReads: number;
}

const [, , mountpoint = "", optionsText = "{}"] = process.argv;
const operations = new MemoryOperations();

/** After the unmount the parent may be gone before it hears of it. */
function say(answer: Answer): void {
  if (process.connected) process.send?.(answer);
}

function leave(): void {
  if (process.connected) process.disconnect();
}

function ino(name: string): number {
  return operations.node(1).names.get(name)?.ino ?? 0;
}

function append(name: string, text: string): number {
  const node = operations.node(ino(name));
  const end = node.data.length;
  node.data = Buffer.concat([node.data, Buffer.from(text)]);
  return end;
}

async function notify(inodes: readonly number[]): Promise<unknown> {
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  const device = descriptors.find((descriptor) => isDevice(descriptor)) ?? -1;
  const thread = startInvalidationThread(device);
  const answer = new Promise((resolve) => {
    thread.on("message", resolve);
  });
  thread.postMessage(new Float64Array(inodes.flatMap((one) => [one, -1])), []);
  const missing = await answer;
  thread.postMessage(null, []);
  return missing;
}

function isDevice(descriptor: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`) === "/dev/fuse";
  } catch {
    return false;
  }
}

function state(): State {
  return {
    openHandles: operations.openHandles.size,
    openDirectories: operations.openDirectories.size,
    forgotten: operations.forgotten.length,
    slowReads: operations.slowReadCount,
  };
}

async function obey(mounted: Mounted, command: Command): Promise<unknown> {
  switch (command.do) {
    case "put":
      return operations.put(command.name, command.text);
    case "append": {
      const end = append(command.name, command.text);
      const invalidated = mounted.invalidator.invalidate(ino(command.name), end);
      await invalidated;
      return invalidated !== undefined;
    }
    case "appendSilently":
      return append(command.name, command.text);
    case "notify":
      return notify(command.inodes);
    case "calls":
      return Object.fromEntries(operations.calls);
    case "slow":
      operations.slowInode = ino(command.name);
      return 0;
    case "finishReads":
      operations.slowInode = 0;
      operations.finishReads();
      return 0;
    case "break":
      operations.failure = new InvariantError("broken by the test");
      return 0;
    case "state":
      return state();
    case "unmount":
      await mounted.unmount();
      return 0;
    default:
      return assertNever(command);
  }
}

try {
  const options = JSON.parse(optionsText) as KernelMountOptions;
  const mounted = await mountKernel(mountpoint, operations, options);
  const pending = new Set<Promise<void>>();
  process.on("message", (command: Numbered) => {
    const answered = obey(mounted, command).then(
      (value) => say({ is: "done", id: command.id, value }),
      (error: NodeJS.ErrnoException) => {
        say({ is: "done", id: command.id, value: `${error.name} ${error.code}` });
      },
    );
    pending.add(answered);
    void answered.finally(() => pending.delete(answered));
  });
  say({ is: "mounted" });
  await mounted.closed;
  say({ is: "closed", state: state() });
  await Promise.all(pending);
  leave();
} catch (error) {
  const { code = "", message } = error as NodeJS.ErrnoException;
  say({ is: "failed", code, message });
  leave();
}
