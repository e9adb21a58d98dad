/**
 * What programs can see of a spool, as text: by path, without numbers and times. What pends is shown where it will
 * be, so that a start, which shows it, changes nothing of the picture.
 */
import { createHash } from "node:crypto";
import { isErrno } from "../../base/errno.ts";
import { isDirectory, isRegular, S_IFLNK, S_IFMT } from "../../fs/attributes.ts";
import type { Spool } from "../../fs/spool.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";
import { ok } from "../files-harness.ts";
import { type NaiveInode, type NaiveName, NaiveStore } from "./naive-store.ts";

const EMPTY = Buffer.alloc(0);
const CALLER = { uid: 0, gid: 0, pid: 1 };

export function seenIn(model: NaiveStore): string {
  const lines: string[] = [];
  const { names } = model;
  const children = new Map<number, (NaiveName & { inode?: Seen })[]>();
  for (const name of names.values()) put(children, name.parent, name);
  const pending = new Map<string, Buffer[]>();
  const appended = new Map<number, Buffer[]>();
  for (const { change, bytes } of [...model.pending.values()].sort(
    (a, b) => a.change.id - b.change.id,
  )) {
    const key = `${change.parent}/${change.name}`;
    const named = names.get(key);
    const isMailbox = named !== undefined && isRegular(named.fileType);
    if (isMailbox) put(appended, named.ino, bytes);
    else put(pending, key, bytes);
    // The first one says what the mailbox will be.
    if (named !== undefined || (pending.get(key)?.length ?? 0) > 1) continue;
    const { parent, name, mode, uid, gid } = change;
    const made = { ino: -1, parent: 0, nlink: 1, rdev: 0, target: EMPTY, bytes: EMPTY };
    const inode = { ...made, mode: 0o100000 | mode, uid, gid, xattrs: new Map<string, Buffer>() };
    put(children, parent, { parent, name, ino: -1, fileType: 0o100000, inode });
  }
  const walk = (directory: number, path: string): void => {
    for (const child of children.get(directory) ?? []) {
      const { name, ino } = child;
      const key = `${directory}/${name}`;
      const inode = child.inode ?? model.inode(ino);
      const bytes = [inode.bytes, ...(appended.get(ino) ?? [])];
      const waiting = pending.get(key) ?? [];
      if (ino === -1) bytes.push(...waiting);
      lines.push(`${path}/${name}: ${line(inode, Buffer.concat(bytes))}`);
      if (ino !== -1 && waiting.length > 0) {
        lines.push(`${path}/${name} waits for ${hashOf(Buffer.concat(waiting))}`);
      }
      if (isDirectory(inode.mode)) walk(ino, `${path}/${name}`);
    }
  };
  lines.push(`/: ${line(model.inode(ROOT_INO), EMPTY)}`);
  walk(ROOT_INO, "");
  return lines.sort().join("\n");
}

type Seen = Pick<
  NaiveInode,
  "mode" | "uid" | "gid" | "nlink" | "rdev" | "target" | "xattrs" | "bytes"
>;

function line(inode: Seen, bytes: Buffer): string {
  const { mode, uid, gid, nlink, rdev, target, xattrs } = inode;
  const pairs = [...xattrs]
    .map(([name, value]) => `${name}=${JSON.stringify(value.toString("latin1"))}`)
    .sort();
  const numbers = [mode.toString(8), uid, gid, nlink, rdev].join(" ");
  return `${numbers} -> ${target.toString("latin1")} [${pairs.join()}] ${hashOf(bytes)}`;
}

function hashOf(bytes: Buffer): string {
  return `${bytes.length} bytes ${createHash("sha1").update(bytes).digest("hex")}`;
}

function put<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** The same of a spool, asked through its operations. */
export async function readBack({ operations, store }: Spool): Promise<NaiveStore> {
  const model = new NaiveStore();
  const visit = async (ino: number): Promise<void> => {
    const attributes = ok(operations.getAttributes(ino));
    const { mode, uid, gid, nlink, rdev, size, atime, mtime, ctime } = attributes;
    const xattrs = new Map<string, Buffer>();
    for (const name of ok(operations.listXattr(ino))) {
      xattrs.set(name, ok(operations.getXattr(ino, name)));
    }
    const target = (mode & S_IFMT) === S_IFLNK ? ok(operations.readLink(ino)) : EMPTY;
    const bytes = isRegular(mode)
      ? Buffer.concat(ok(await operations.read(ino, 0, 0, size + 1, CALLER)))
      : EMPTY;
    const times = { atime, mtime, ctime };
    const kept = { ino, mode, uid, gid, nlink, rdev, parent: 0, target, xattrs, bytes };
    model.inodes.set(ino, { ...kept, ...times });
    if (isDirectory(mode)) await list(ino);
  };
  const list = async (parent: number): Promise<void> => {
    const handle = ok(operations.openDirectory(parent));
    for (const { name, ino, type } of ok(await operations.readDirectory(parent, handle, 0, 1e6))) {
      const found = operations.lookup(parent, name, CALLER);
      if (isErrno(found) || found.ino !== ino) throw new Error(`${name} is listed and not found`);
      model.names.set(`${parent}/${name}`, { parent, name, ino, fileType: type });
      if (!model.inodes.has(ino)) await visit(ino);
    }
    operations.releaseDirectory(handle);
  };
  await visit(ROOT_INO);
  for (const pending of store.allPending()) {
    const bytes = pending.extents.map((extent) =>
      store.readUnit(extent.unit, extent.offset, extent.length),
    );
    const change = { type: "pend", ...pending } as const;
    model.pending.set(pending.id, { change, bytes: Buffer.concat(bytes) });
  }
  return model;
}
