/** What is used of fuse-native 2.2.6, which brings no types. */
declare module "fuse-native" {
  /** The first argument is a negative errno, or a count for read and write. */
  type Reply<Values extends readonly unknown[] = []> = (result: number, ...values: Values) => void;

  export interface NativeEntry {
    readonly ino: number;
    readonly mode: number;
    readonly nlink: number;
    readonly size: number;
    readonly atime: number;
    readonly mtime: number;
    readonly ctime: number;
  }

  export interface NativeStatistics {
    readonly bsize: number;
    readonly frsize: number;
    readonly blocks: number;
    readonly bfree: number;
    readonly bavail: number;
    readonly files: number;
    readonly ffree: number;
    readonly favail: number;
    readonly namemax: number;
  }

  /** Paths begin at the mount's root. A callback that is missing is ENOSYS to libfuse. */
  export interface Callbacks {
    /** Not called, since the methods that would are replaced (Overrides); libfuse asks if they are there. */
    readonly fgetattr: true;
    readonly getxattr: true;
    readonly listxattr: true;
    statfs(path: string, reply: Reply<[of?: NativeStatistics]>): void;
    flush(path: string, fd: number, reply: Reply): void;
    fsync(path: string, dataOnly: number, fd: number, reply: Reply): void;
    fsyncdir(path: string, dataOnly: number, fd: number, reply: Reply): void;
    readdir(
      path: string,
      reply: Reply<[names?: readonly string[], entries?: readonly NativeEntry[]]>,
    ): void;
    truncate(path: string, size: number, reply: Reply): void;
    ftruncate(path: string, fd: number, size: number, reply: Reply): void;
    utimens(path: string, atimeMs: number, mtimeMs: number, reply: Reply): void;
    readlink(path: string, reply: Reply<[target?: string]>): void;
    chown(path: string, uid: number, gid: number, reply: Reply): void;
    chmod(path: string, mode: number, reply: Reply): void;
    mknod(path: string, mode: number, dev: number, reply: Reply): void;
    setxattr(
      path: string,
      name: string,
      value: Buffer,
      position: number,
      flags: number,
      reply: Reply,
    ): void;
    removexattr(path: string, name: string, reply: Reply): void;
    open(path: string, flags: number, reply: Reply<[fd?: number]>): void;
    read(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      reply: Reply,
    ): void;
    write(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      reply: Reply,
    ): void;
    release(path: string, fd: number, reply: Reply): void;
    unlink(path: string, reply: Reply): void;
    rename(path: string, newPath: string, reply: Reply): void;
    link(path: string, newPath: string, reply: Reply): void;
    symlink(target: string, path: string, reply: Reply): void;
    mkdir(path: string, mode: number, reply: Reply): void;
    rmdir(path: string, reply: Reply): void;
  }

  /** Below Callbacks: fuse-native's own methods, which turn its callbacks' values into C's. */
  export interface Overrides {
    _op_getattr(reply: Reply<[ints?: Uint32Array]>, path: string): void;
    _op_fgetattr(reply: Reply<[ints?: Uint32Array]>, path: string, fd: number): void;
    _op_getxattr(
      reply: Reply<[room: ArrayBufferLike]>,
      path: string,
      name: string,
      room: Buffer,
    ): void;
    _op_listxattr(reply: Reply<[room: ArrayBufferLike]>, path: string, room: Buffer): void;
    _fuseOptions(): string;
  }

  type NativeHandler = (locals: Buffer, opcode: number, ...values: unknown[]) => void;

  export default class Fuse {
    /** What _close() calls first; replaced by ours. */
    static unmount(mountpoint: string, done: (error: Error | null) => void): void;
    constructor(mountpoint: string, callbacks: Callbacks, options: { readonly timeout: false });
    /** By opcode. */
    readonly _handlers: NativeHandler[];
    mount(done: (error: Error | null) => void): void;
    unmount(done: (error: Error | null) => void): void;
  }
}
