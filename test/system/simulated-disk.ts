/**
 * A disk in memory for the store, with the durability that POSIX promises and no more: bytes and length of a file
 * after a sync of the file, names after a sync of their directory. Deterministic.
 * Not here: what is chosen at a power cut (simulated-machine.ts), which call is cut (simulated-power.ts).
 */
import { basename, dirname } from "node:path";
import type { Disk, OpenFlags, Space } from "../../fs/store/disk/disk.ts";
import { SimulatedDirectory, type NameFate, type SimulatedNode } from "./simulated-directory.ts";
import { SimulatedFile, type FileFate } from "./simulated-file.ts";
import { runOf } from "./sparse-bytes.ts";
import { systemError, type SimulatedCall, type SimulatedPower } from "./simulated-power.ts";

const BLOCK_SIZE = 4096;

interface OpenFile {
  readonly file: SimulatedFile;
  readonly path: string;
}

export class SimulatedDisk implements Disk {
  readonly power: SimulatedPower;
  readonly #root: SimulatedDirectory;
  readonly #open = new Map<number, OpenFile>();
  readonly #locks = new Map<number, string>();
  #nextFd = 3;
  /** Bytes of all files together, as far as they are known by a name; a write that needs more fails. */
  capacity: number;

  constructor(power: SimulatedPower, root = new SimulatedDirectory(), capacity = Infinity) {
    this.power = power;
    this.#root = root;
    this.capacity = capacity;
  }

  /** The disk under another power supply: the process was killed, the machine stayed on. */
  afterKill(power: SimulatedPower): SimulatedDisk {
    return new SimulatedDisk(power, this.#root.copy(), this.capacity);
  }

  afterCut(power: SimulatedPower, names: NameFate, files: FileFate): SimulatedDisk {
    return new SimulatedDisk(power, this.#root.afterCut(names, files), this.capacity);
  }

  open(path: string, flags: OpenFlags): number {
    this.power.live();
    let file = this.#find(path);
    if (file === undefined) {
      if (flags === "r" || flags === "r+") throw systemError("ENOENT", "open", path);
      file = this.#make(path);
    } else if (flags === "wx+") {
      throw systemError("EEXIST", "open", path);
    }
    const opened = asFile(file, path);
    if (flags === "w" && opened.length > 0) this.#point("open", path, () => opened.truncate(0));
    return this.#descriptor(opened, path);
  }

  close(fd: number): void {
    // The end of the machine closes what is open.
    if (this.power.off) return;
    this.#file(fd);
    this.#open.delete(fd);
    this.#locks.delete(fd);
  }

  read(fd: number, target: Buffer, start: number, length: number, position: number): number {
    this.power.live();
    const { file, path } = this.#file(fd);
    this.power.mayFail("read", path);
    return file.read(target, start, length, position);
  }

  write(fd: number, bytes: Buffer, position: number): number {
    return this.writev(fd, [bytes], position);
  }

  writev(fd: number, buffers: readonly Buffer[], position: number): number {
    const { file, path } = this.#file(fd);
    const room = this.#room(file, position);
    if (room === 0) throw systemError("ENOSPC", "write", path);
    const run = runOf(buffers, room);
    this.#point("write", path, () => file.write(position, run));
    return run.length;
  }

  truncate(fd: number, length: number): void {
    const { file, path } = this.#file(fd);
    this.#point("truncate", path, () => file.truncate(length));
  }

  fdatasync(fd: number): void {
    this.#sync("fdatasync", fd);
  }

  fsync(fd: number): void {
    this.#sync("fsync", fd);
  }

  #sync(call: "fdatasync" | "fsync", fd: number): void {
    const { file, path } = this.#file(fd);
    this.#endSync(call, file, path, file.beginSync());
  }

  /** Whatever is wrong comes later, as from the system: nobody is there to catch it now. */
  fdatasyncLater(fd: number, done: (error: Error | null) => void): void {
    const begun = this.power.off ? undefined : this.#file(fd).file.beginSync();
    setImmediate(() => {
      try {
        const { file, path } = this.#file(fd);
        this.#endSync("fdatasync", file, path, begun ?? []);
      } catch (error) {
        done(error as Error);
        return;
      }
      done(null);
    });
  }

  syncDirectory(path: string): void {
    const directory = this.#directory(path);
    this.#point("syncDirectory", path);
    directory.sync();
  }

  rename(from: string, to: string): void {
    const directory = this.#directory(dirname(from));
    if (dirname(to) !== dirname(from)) throw systemError("ENOTSUP", "rename", to);
    if (directory.get(basename(from)) === undefined) throw systemError("ENOENT", "rename", from);
    this.#point("rename", to, () => directory.rename(basename(from), basename(to)));
  }

  unlink(path: string): void {
    const directory = this.#directory(dirname(path));
    asFile(directory.get(basename(path)), path);
    this.#point("unlink", path, () => directory.unlink(basename(path)));
  }

  /** Carried out at some later moment, and told after that. */
  unlinkLater(path: string, done: (error: Error | null) => void): void {
    setImmediate(() => {
      try {
        this.unlink(path);
      } catch (error) {
        done(error as Error);
        return;
      }
      done(null);
    });
  }

  list(path: string): string[] {
    this.power.live();
    return this.#directory(path).names;
  }

  exists(path: string): boolean {
    this.power.live();
    return this.#find(path) !== undefined;
  }

  linkOwner(): undefined {
    return undefined;
  }

  length(path: string): number {
    this.power.live();
    return asFile(this.#find(path), path).length;
  }

  makeDirectory(path: string): void {
    if (this.#find(path)?.kind === "directory") return;
    this.makeDirectory(dirname(path));
    const parent = this.#directory(dirname(path));
    this.#point("makeDirectory", path, () => parent.link(basename(path), new SimulatedDirectory()));
  }

  space(): Space {
    this.power.live();
    const blocks = this.capacity === Infinity ? 1 << 30 : Math.floor(this.capacity / BLOCK_SIZE);
    const free = Math.max(0, blocks - Math.ceil(this.#used(this.#root) / BLOCK_SIZE));
    return { blockSize: BLOCK_SIZE, blocks, free, available: free };
  }

  lock(path: string): number | undefined {
    this.power.live();
    if ([...this.#locks.values()].includes(path)) return undefined;
    const fd = this.#descriptor(asFile(this.#find(path) ?? this.#make(path), path), path);
    this.#locks.set(fd, path);
    return fd;
  }

  /** Changes a byte of a file on the platter, as damage does. */
  damage(path: string, offset: number, xor = 1): void {
    const file = asFile(this.#find(path), path);
    const byte = Buffer.alloc(1);
    file.read(byte, 0, 1, offset);
    byte[0] = (byte[0] as number) ^ xor;
    file.write(offset, runOf([byte]));
    file.endSync(file.beginSync(), false);
  }

  #point(call: SimulatedCall, path: string, effect?: () => void): void {
    this.power.point(call, path, effect);
  }

  #endSync(
    call: "fdatasync" | "fsync",
    file: SimulatedFile,
    path: string,
    begun: readonly unknown[],
  ): void {
    try {
      this.#point(call, path);
    } catch (error) {
      if (!this.power.off) file.endSync(begun, true);
      throw error;
    }
    file.endSync(begun, false);
  }

  #make(path: string): SimulatedFile {
    const directory = this.#directory(dirname(path));
    const file = new SimulatedFile();
    this.#point("open", path, () => directory.link(basename(path), file));
    return file;
  }

  #descriptor(file: SimulatedFile, path: string): number {
    const fd = this.#nextFd++;
    this.#open.set(fd, { file, path });
    return fd;
  }

  #file(fd: number): OpenFile {
    this.power.live();
    const open = this.#open.get(fd);
    if (open === undefined) throw systemError("EBADF", "use of descriptor", String(fd));
    return open;
  }

  #find(path: string): SimulatedNode | undefined {
    let node: SimulatedNode | undefined = this.#root;
    for (const name of path.split("/")) {
      if (name === "") continue;
      if (node?.kind !== "directory") return undefined;
      node = node.get(name);
    }
    return node;
  }

  #directory(path: string): SimulatedDirectory {
    this.power.live();
    const node = this.#find(path);
    if (node?.kind !== "directory") throw systemError("ENOENT", "look-up", path);
    return node;
  }

  /** How many bytes a write may have from a position on. */
  #room(file: SimulatedFile, position: number): number {
    if (this.capacity === Infinity) return Infinity;
    const free = Math.max(0, this.capacity - this.#used(this.#root));
    return Math.max(0, file.length - position) + free;
  }

  #used(directory: SimulatedDirectory): number {
    let bytes = 0;
    for (const node of directory.nodes) {
      bytes += node.kind === "file" ? node.length : this.#used(node);
    }
    return bytes;
  }
}

function asFile(node: SimulatedNode | undefined, path: string): SimulatedFile {
  if (node === undefined) throw systemError("ENOENT", "look-up", path);
  if (node.kind !== "file") throw systemError("EISDIR", "look-up", path);
  return node;
}
