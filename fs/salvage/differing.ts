/** Files that are not in the new store as the old index knows them. */
import { S_IFMT, S_IFREG } from "../attributes.ts";
import type { Change } from "../store/records/change.ts";
import type { IndexView } from "../store/check/index-view.ts";
import type { Inode } from "../store/state/inode.ts";
import { isOffcut } from "../store/records/offcut.ts";
import type { LogPosition } from "../store/log/log.ts";
import type { Store } from "../store/store.ts";
import type { PutInOrder } from "./tidy.ts";

export interface DifferingFile {
  /** A byte string in latin1. */
  readonly path: string;
  /** By the old index; undefined when the file was deleted, and has come back. */
  readonly bytes: number | undefined;
  /** In the new store; undefined when the file is not there. The same: a change that kept the length is missing. */
  readonly bytesNow: number | undefined;
}

/** Files that the log changed behind what the index knows are others by right. */
export class ChangedSince {
  readonly inos = new Set<number>();
  readonly #position: LogPosition;

  constructor(position: LogPosition) {
    this.#position = position;
  }

  add(segment: number, offset: number, changes: readonly Change[]): void {
    const { segment: last, offset: end } = this.#position;
    if (segment < last || (segment === last && offset < end)) return;
    for (const change of changes) {
      if ("ino" in change) this.inos.add(change.ino);
      if (change.type === "deliver") for (const { ino } of change.targets) this.inos.add(ino);
      if (change.type === "cut") this.inos.add(change.to);
    }
  }
}

export async function findDiffering(
  index: IndexView,
  store: Store,
  changed: ReadonlySet<number>,
  inOrder: PutInOrder,
): Promise<DifferingFile[]> {
  const found = new Map<number, Omit<DifferingFile, "path">>();
  await index.eachInode((then) => {
    const { ino, mode, size: bytes, nlink } = then;
    if (!isFile(mode) || nlink === 0 || changed.has(ino)) return;
    const now = store.inode(ino);
    const isSame = now?.size === bytes && isSameTime(now, then);
    if (!isSame) found.set(ino, { bytes, bytesNow: now?.size });
  });
  const paths = await index.pathsOf(new Set(found.keys()));
  const { nextIno } = index.meta.counters;
  const returned = inOrder.inos.filter((ino) => {
    const isKnown = ino >= nextIno || changed.has(ino) || index.state.inode(ino) !== undefined;
    return !isKnown && isFile(store.inode(ino)?.mode ?? 0);
  });
  for (const [ino, names] of inOrder.pathsOf(returned)) {
    found.set(ino, { bytes: undefined, bytesNow: store.inode(ino)?.size });
    paths.set(ino, names);
  }
  return [...found].flatMap(([ino, one]) =>
    (paths.get(ino) ?? []).map((path) => ({ path, ...one })),
  );
}

function isFile(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG && !isOffcut(mode);
}

function isSameTime(one: Inode, other: Inode): boolean {
  return one.mtimeSec === other.mtimeSec && one.mtimeNsec === other.mtimeNsec;
}
