/**
 * A disk whose calls can be made to fail, over another one. It keeps the rule that a store has to follow after a failed
 * sync, as Linux has it: the pages that could not be written are clean and may be gone, so a later sync that
 * succeeds says nothing of them until they are written anew.
 */
import type { Disk, OpenFlags } from "../../fs/store/disk/disk.ts";

export type FaultyCall =
  | "open"
  | "read"
  | "write"
  | "truncate"
  | "sync"
  | "syncDirectory"
  | "rename"
  | "unlink"
  | "space";

interface OpenFile {
  readonly path: string;
  failed: boolean;
}

type Range = readonly [start: number, end: number];

/** Whether a call fails, and how. `number`: of all calls that can fail, from 1. */
export type Fault = (call: FaultyCall, path: string, number: number) => string | undefined;

export class FaultyDisk implements Disk {
  /** Calls that could have failed. */
  calls = 0;
  fault: Fault = () => undefined;
  /** What was relied on and must not be. */
  readonly violations: string[] = [];
  readonly #disk: Disk;
  readonly #lose: (fd: number) => void;
  readonly #open = new Map<number, OpenFile>();
  /** By path: what was written and not synced, and what a failed sync may have dropped. */
  readonly #dirty = new Map<string, Range[]>();
  readonly #lost = new Map<string, Range[]>();

  /** `lose`: what the disk below does with what was written to a descriptor whose sync fails. */
  constructor(disk: Disk, lose: (fd: number) => void = () => {}) {
    this.#disk = disk;
    this.#lose = lose;
  }

  open(path: string, flags: OpenFlags): number {
    this.#mayFail("open", path);
    const fd = this.#disk.open(path, flags);
    this.#open.set(fd, { path, failed: false });
    if (flags === "w" || flags === "wx+") this.#cut(path, 0);
    return fd;
  }

  close(fd: number): void {
    this.#open.delete(fd);
    this.#disk.close(fd);
  }

  read(fd: number, target: Buffer, start: number, length: number, position: number): number {
    this.#mayFail("read", this.#file(fd).path);
    return this.#disk.read(fd, target, start, length, position);
  }

  write(fd: number, bytes: Buffer, position: number): number {
    const { path } = this.#file(fd);
    try {
      this.#mayFail("write", path);
    } catch (error) {
      // A write that fails may have written a part.
      const half = Math.floor(bytes.length / 2);
      if (half > 0)
        this.#written(path, position, this.#disk.write(fd, bytes.subarray(0, half), position));
      throw error;
    }
    return this.#written(path, position, this.#disk.write(fd, bytes, position));
  }

  writev(fd: number, buffers: readonly Buffer[], position: number): number {
    return this.write(fd, Buffer.concat(buffers), position);
  }

  truncate(fd: number, length: number): void {
    const { path } = this.#file(fd);
    this.#mayFail("truncate", path);
    this.#disk.truncate(fd, length);
    this.#cut(path, length);
  }

  fdatasync(fd: number): void {
    this.#sync(fd, () => this.#disk.fdatasync(fd));
  }

  fdatasyncLater(fd: number, done: (error: Error | null) => void): void {
    let failure: Error | undefined;
    try {
      this.#sync(fd, () => {});
    } catch (error) {
      failure = error as Error;
    }
    if (failure === undefined) this.#disk.fdatasyncLater(fd, done);
    else setImmediate(done, failure);
  }

  fsync(fd: number): void {
    this.#sync(fd, () => this.#disk.fsync(fd));
  }

  syncDirectory(path: string): void {
    this.#mayFail("syncDirectory", path);
    this.#disk.syncDirectory(path);
  }

  rename(from: string, to: string): void {
    this.#mayFail("rename", to);
    this.#disk.rename(from, to);
    for (const ranges of [this.#dirty, this.#lost]) {
      ranges.set(to, ranges.get(from) ?? []);
      ranges.delete(from);
    }
  }

  unlink(path: string): void {
    this.#mayFail("unlink", path);
    this.#disk.unlink(path);
    this.#cut(path, 0);
  }

  unlinkLater(path: string, done: (error: Error | null) => void): void {
    try {
      this.#mayFail("unlink", path);
    } catch (error) {
      setImmediate(done, error as Error);
      return;
    }
    this.#disk.unlinkLater(path, (error) => {
      if (error === null) this.#cut(path, 0);
      done(error);
    });
  }

  list(path: string): string[] {
    return this.#disk.list(path);
  }

  exists(path: string): boolean {
    return this.#disk.exists(path);
  }

  linkOwner(path: string): number | undefined {
    return this.#disk.linkOwner(path);
  }

  length(path: string): number {
    return this.#disk.length(path);
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(path);
  }

  space(path: string): ReturnType<Disk["space"]> {
    this.#mayFail("space", path);
    return this.#disk.space(path);
  }

  lock(path: string): number | undefined {
    const fd = this.#disk.lock(path);
    if (fd !== undefined) this.#open.set(fd, { path, failed: false });
    return fd;
  }

  #sync(fd: number, sync: () => void): void {
    const file = this.#file(fd);
    const { path } = file;
    if (file.failed) this.violations.push(`${path}: synced again through a descriptor that failed`);
    try {
      this.#mayFail("sync", path);
    } catch (error) {
      file.failed = true;
      this.#lose(fd);
      const lost = [...(this.#lost.get(path) ?? []), ...(this.#dirty.get(path) ?? [])];
      this.#lost.set(path, lost);
      this.#dirty.delete(path);
      throw error;
    }
    sync();
    const lost = this.#lost.get(path) ?? [];
    if (lost.length > 0) {
      this.violations.push(`${path}: synced with ${lost.join(" ")} not written anew`);
    }
    this.#dirty.delete(path);
  }

  #written(path: string, position: number, count: number): number {
    const range: Range = [position, position + count];
    this.#dirty.set(path, [...(this.#dirty.get(path) ?? []), range]);
    this.#lost.set(path, without(this.#lost.get(path) ?? [], range));
    return count;
  }

  #cut(path: string, length: number): void {
    const range: Range = [length, Infinity];
    this.#dirty.set(path, without(this.#dirty.get(path) ?? [], range));
    this.#lost.set(path, without(this.#lost.get(path) ?? [], range));
  }

  #file(fd: number): OpenFile {
    const file = this.#open.get(fd);
    if (file === undefined) throw new Error(`descriptor ${fd} is not open`);
    return file;
  }

  #mayFail(call: FaultyCall, path: string): void {
    const code = this.fault(call, path, ++this.calls);
    if (code === undefined) return;
    throw Object.assign(new Error(`${code}: made to fail, ${call} ${path}`), { code });
  }
}

function without(ranges: readonly Range[], [start, end]: Range): Range[] {
  const left: Range[] = [];
  for (const [from, to] of ranges) {
    if (from < Math.min(to, start)) left.push([from, Math.min(to, start)]);
    if (Math.max(from, end) < to) left.push([Math.max(from, end), to]);
  }
  return left;
}
