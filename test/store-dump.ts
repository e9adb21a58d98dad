/**
 * Everything a store says about itself, row by row, as text that two of its states can be compared by. Left out is
 * what depends on how a state came about: cookies of names, the nodes of an extent tree, and places of records.
 */
import { ByteReader } from "../base/bytes.ts";
import { decodePending } from "../fs/store/state/pending.ts";
import { decodeNameRow } from "../fs/store/state/dentry.ts";
import { firstNumber, kindRange } from "../fs/store/index/keys.ts";
import type { Store } from "../fs/store/store.ts";
import { decodeUnit } from "../fs/store/state/unit.ts";

export async function dump(store: Store): Promise<string[]> {
  await store.checkpoint();
  const { state, index } = store.internals();
  const lines: string[] = [];
  await index.each(kindRange("i"), (key) => {
    const ino = firstNumber(key);
    const inode = state.inode(ino);
    if (inode === undefined) return;
    const { mode, uid, gid, nlink, rdev, parent, entryCount, dotlockCount, size } = inode;
    const numbers = [mode, uid, gid, nlink, rdev, parent, entryCount, dotlockCount, size];
    const times = [inode.atimeSec, inode.atimeNsec, inode.mtimeSec, inode.mtimeNsec];
    const ctime = [inode.ctimeSec, inode.ctimeNsec];
    const xattrs = [...(inode.xattrs ?? [])]
      .map(([name, value]) => `${name}=${value.toString("hex")}`)
      .sort();
    const extents = inode.tree.slice(0, size).map((e) => `${e.unit}:${e.offset}+${e.length}`);
    lines.push(
      [`i ${ino}`, ...numbers, ...times, ...ctime, inode.target.toString("hex"), ...xattrs].join(
        " ",
      ),
      `  ${extents.join(" ")}`,
    );
  });
  await index.each(kindRange("d"), (key, value) => {
    const parent = firstNumber(key);
    const name = key.toString("latin1", 7);
    const { ino, fileType } = decodeNameRow(parent, name, new ByteReader(value));
    lines.push(`d ${parent} ${JSON.stringify(name)} ${ino} ${fileType}`);
  });
  await index.each(kindRange("u"), (key, value) => {
    const id = firstNumber(key);
    const { segment, position, chunks, runs } = decodeUnit(id, new ByteReader(value));
    lines.push(`u ${id} ${segment} ${position} [${chunks.join(" ")}] [${runs.join(" ")}]`);
  });
  await index.each(kindRange("p"), (_key, value) => {
    lines.push(`p ${JSON.stringify(decodePending(value)?.change)}`);
  });
  const uses = [...state.segments.values()].sort((a, b) => a.segment - b.segment);
  for (const use of uses) lines.push(`s ${use.segment} ${use.unitBytes} ${use.liveBytes}`);
  let extents = 0;
  await index.each(kindRange("i"), (key) => {
    extents += state.inode(firstNumber(key))?.tree.count() ?? 0;
  });
  lines.push(`extents that are not counted: ${extents - state.counters.extents}`);
  const { logicalBytes, ...counters } = state.counters;
  lines.push(`counters ${logicalBytes} ${JSON.stringify({ ...counters, extents: 0 })}`);
  lines.push(`orphans ${[...state.orphans].sort((a, b) => a - b).join(" ")}`);
  lines.push(`removed ${state.removedSegments.join(" ")}`);
  return lines;
}
