/**
 * A file of the simulated disk: what programs see of it, what is on the platter, and the changes in between, from
 * which a power cut chooses.
 *
 * A change is lost whole, or kept whole, or torn: any of its sectors, or only the file's new size, whatever
 * became of the changes before it. A sync makes the changes before it durable; one that fails makes some of them
 * durable, and no later sync the others: Linux counts their pages as clean then.
 */
import type { Random } from "../movers.ts";
import { part, type Run, SparseBytes } from "./sparse-bytes.ts";

export const SECTOR = 512;
/** A long change is torn into no more parts than this. */
const PARTS_MAX = 64;

type FileChange =
  | { readonly kind: "write"; readonly at: number; readonly run: Run }
  | { readonly kind: "truncate"; readonly length: number };

/** What becomes of the unsynced changes of a file; "sizes": the file has its last size, and zeros. */
export type FileFate = "dropped" | "kept" | "sizes" | "torn" | "reordered" | Random;

export class SimulatedFile {
  readonly kind = "file";
  #live = new SparseBytes();
  #durable = new SparseBytes();
  #changes: FileChange[] = [];
  #failures = 1;

  get length(): number {
    return this.#live.length;
  }

  read(target: Buffer, start: number, length: number, position: number): number {
    return this.#live.read(target, start, length, position);
  }

  /** The run's bytes must not change any more. */
  write(at: number, run: Run): void {
    this.#live.write(at, run);
    this.#changes.push({ kind: "write", at, run });
  }

  truncate(length: number): void {
    this.#live.truncate(length);
    this.#changes.push({ kind: "truncate", length });
  }

  /** What a sync that begins now will make durable. */
  beginSync(): readonly unknown[] {
    return [...this.#changes];
  }

  /** One that fails has written the one change, half of another, and nothing of a third, by turns. */
  endSync(begun: readonly unknown[], failed: boolean): void {
    for (const change of begun as FileChange[]) {
      const fate = failed ? this.#failures++ % 3 : 0;
      if (fate === 0) carryOut(this.#durable, change);
      else if (fate === 1) tear(this.#durable, change, undefined);
    }
    this.#changes = this.#changes.filter((change) => !begun.includes(change));
  }

  /** The file as it is, with what is not durable yet. */
  copy(): SimulatedFile {
    const copy = new SimulatedFile();
    copy.#live = this.#live.copy();
    copy.#durable = this.#durable.copy();
    copy.#changes = [...this.#changes];
    return copy;
  }

  /** The file as a start after a power cut finds it. */
  afterCut(fate: FileFate): SimulatedFile {
    const left = this.#durable.copy();
    const last = this.#changes.length - 1;
    for (const [k, change] of this.#changes.entries()) {
      if (typeof fate === "function") tear(left, change, fate);
      else if (fate === "kept" || (fate === "torn" && k < last)) carryOut(left, change);
      else if (fate === "torn") tear(left, change, undefined);
      else if (fate === "reordered" && k === last) carryOut(left, change);
      else if (fate === "sizes") resize(left, change);
    }
    const file = new SimulatedFile();
    file.#live = left;
    file.#durable = left.copy();
    return file;
  }
}

function carryOut(content: SparseBytes, change: FileChange): void {
  if (change.kind === "write") content.write(change.at, change.run);
  else content.truncate(change.length);
}

function resize(content: SparseBytes, change: FileChange): void {
  const end = change.kind === "write" ? change.at + change.run.length : change.length;
  if (change.kind === "truncate" || end > content.length) content.truncate(end);
}

/** Without `random`: the first half of a write. */
function tear(content: SparseBytes, change: FileChange, random: Random | undefined): void {
  const fate = random?.() ?? 0;
  if (change.kind === "truncate") {
    if (fate < 0.5) carryOut(content, change);
    return;
  }
  const { at, run } = change;
  if (random === undefined || fate < 0.3) {
    const sectors = Math.ceil(run.length / SECTOR);
    const kept = Math.floor(sectors * (random?.() ?? 0.5)) * SECTOR;
    const end = Math.min(kept - (at % SECTOR), run.length);
    if (end > 0) content.write(at, part(run, 0, end));
  } else if (fate < 0.5) {
    carryOut(content, change);
  } else if (fate < 0.6) {
    resize(content, change);
  } else if (fate < 0.8) {
    const length = Math.ceil(run.length / PARTS_MAX / SECTOR) * SECTOR;
    if (random() < 0.5) resize(content, change);
    for (let from = 0; from < run.length;) {
      const to = Math.min(from + length - ((at + from) % SECTOR), run.length);
      if (random() < 0.5) content.write(at + from, part(run, from, to));
      from = to;
    }
  }
}
