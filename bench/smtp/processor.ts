/**
 * Processor time of a server and of what the kernel does for it: its processes, those of them that have ended, and the
 * kernel's own threads (the file system's journal, the disk, the network). The load generator and whatever
 * else runs on the machine are not in it. In clock ticks.
 */
import { readFileSync, readdirSync } from "node:fs";

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time, with that of children that were waited for (proc_pid_stat(5), fields 14 to 17). */
  readonly ticks: number;
}

/** All kernel threads are children of kthreadd. */
const KTHREADD = 2;

function allProcesses(): Stat[] {
  const found: Stat[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      found.push(parseStat(Number(name), readFileSync(`/proc/${name}/stat`, "latin1")));
    } catch {
      // It ended between the two.
    }
  }
  return found;
}

function parseStat(pid: number, text: string): Stat {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return { pid, parent: Number(fields[1]), ticks };
}

function treeOf(root: number, processes: readonly Stat[]): Stat[] {
  const tree = processes.filter(({ pid }) => pid === root);
  for (const { pid } of tree) tree.push(...processes.filter(({ parent }) => parent === pid));
  return tree;
}

export function descendantsOf(root: number): number[] {
  return treeOf(root, allProcesses()).map(({ pid }) => pid);
}

export function ticksOfTree(root: number): number {
  return treeOf(root, allProcesses()).reduce((sum, { ticks }) => sum + ticks, 0);
}

export function ticksOfKernelThreads(): number {
  return allProcesses()
    .filter(({ pid, parent }) => pid === KTHREADD || parent === KTHREADD)
    .reduce((sum, { ticks }) => sum + ticks, 0);
}

/** Of all processors: everything but idle and the waiting for a disk (proc_stat(5)). */
export function ticksOfMachine(): number {
  const line = /^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(" ").map(Number);
  return user + nice + system + irq + softirq;
}
