/**
 * The log's files as a salvage reads them: each under the number that its header says, and with the end that a start took off
 * and kept (paths.ts: tornPath), unless the log has gone on since. Only read.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import type { LogFiles } from "../store/check/index-view.ts";
import type { LogDamage } from "../store/log/log-scan.ts";
import { numberIn } from "../store/recovery/misplaced.ts";
import { cutFrom, logDirectory } from "../store/paths.ts";
import type { SegmentFiles } from "../store/log/segment-files.ts";

interface KeptEnd {
  readonly segment: number;
  readonly offset: number;
  readonly bytes: Buffer;
}

export class SalvageFiles implements LogFiles {
  /** Files under a wrong name; those of a segment that is there under its own are not read. */
  readonly misplaced: readonly LogDamage[];
  readonly #files: SegmentFiles;
  /** By what its header says: the number in its name. */
  readonly #names: ReadonlyMap<number, number>;
  readonly #list: readonly number[];
  /** What a start took off the last segment. */
  readonly #end: KeptEnd | undefined;

  constructor(directory: string, files: SegmentFiles) {
    this.#files = files;
    const names = new Map<number, number>();
    const misplaced: LogDamage[] = [];
    const others: { name: number; number: number }[] = [];
    for (const name of files.list()) {
      const number = numberIn(files, name) ?? name;
      if (number === name) names.set(number, name);
      else others.push({ name, number });
    }
    for (const { name, number } of others) {
      const length = files.length(name);
      misplaced.push({ kind: "misplaced", segment: name, offset: 0, length, number });
      if (!names.has(number)) names.set(number, name);
    }
    this.#names = names;
    this.misplaced = misplaced;
    this.#list = [...names.keys()].sort((a, b) => a - b);
    this.#end = this.#keptEnd(directory);
  }

  #keptEnd(directory: string): KeptEnd | undefined {
    const last = this.#list.at(-1);
    for (const name of fs.readdirSync(logDirectory(directory))) {
      const cut = cutFrom(name);
      if (cut === undefined || cut.segment !== last || this.length(last) > cut.offset) continue;
      return { ...cut, bytes: fs.readFileSync(join(logDirectory(directory), name)) };
    }
    return undefined;
  }

  list(): number[] {
    return [...this.#list];
  }

  length(segment: number): number {
    const end = this.#end;
    if (end?.segment === segment) return end.offset + end.bytes.length;
    return this.#files.length(this.#nameOf(segment));
  }

  read(segment: number, position: number, target: Buffer, start: number, length: number): number {
    const end = this.#end;
    const name = this.#nameOf(segment);
    if (end?.segment !== segment) return this.#files.read(name, position, target, start, length);
    const before = Math.max(0, Math.min(length, end.offset - position));
    const count = this.#files.read(name, position, target, start, before);
    if (count < before || before === length) return count;
    const from = position + before - end.offset;
    return before + end.bytes.copy(target, start + before, from, from + length - before);
  }

  #nameOf(segment: number): number {
    return this.#names.get(segment) ?? segment;
  }
}
