/**
 * Makes a store of a given size with mail of many sizes, 15 recipients each, and dies by kill -9 in the middle of it:
 * node store-maker.js DIRECTORY BYTES MAILBOXES SEED
 */
import type { Change } from "../fs/store/records/change.ts";
import { Store } from "../fs/store/store.ts";

const RECIPIENTS = 15;
const TIME = { sec: 1_700_000_000, nsec: 0 };
const PRIVATE = Buffer.alloc(130, "private ");
/** Lengths of messages, drawn alike: 36 KB in the mean, the median 4 KB. */
const LENGTHS = [2000, 3000, 4000, 4000, 6000, 12_000, 30_000, 30_000, 60_000, 210_000] as const;

const [directory = "", bytesText, mailboxesText, seedText] = process.argv.slice(2);
let state = Number(seedText) >>> 0;

function below(limit: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

const content = Buffer.alloc(LENGTHS.at(-1)!);
for (let k = 0; k < content.length; k++) content[k] = 32 + below(95);

const store = await Store.open(directory, { create: true });
const mailboxes = Number(mailboxesText);
// A store that is there gets more mail.
const known = store.lookup(1, "user0");
const first = known || store.newIno();
if (known === 0) for (let k = 1; k < mailboxes; k++) store.newIno();
for (let from = known === 0 ? 0 : mailboxes; from < mailboxes; from += 1000) {
  const changes: Change[] = [];
  for (let k = from; k < Math.min(from + 1000, mailboxes); k++) {
    const times = { atime: TIME, mtime: TIME, ctime: TIME };
    const owner = { mode: 0o100600, uid: 1, gid: 1, nlink: 1, rdev: 0, parent: 0 };
    changes.push(
      { type: "inode", ino: first + k, ...owner, ...times, target: Buffer.alloc(0) },
      { type: "name", parent: 1, name: `user${k}`, ino: first + k, fileType: 0o100000 },
    );
  }
  store.commit(changes);
}
const bytesMax = Number(bytesText);
for (let written = 0, count = 0; written < bytesMax; count++) {
  const length = LENGTHS[below(LENGTHS.length)]!;
  const start = below(content.length - length + 1);
  const chunks = Array<number>(Math.ceil(length / 65_536) - 1).fill(65_536);
  const shared = content.subarray(start, start + length);
  const parts = [shared, ...Array<Buffer>(RECIPIENTS).fill(PRIVATE)];
  const unit = store.writeUnit(parts, [...chunks, length - chunks.length * 65_536]);
  const inos = new Set<number>();
  while (inos.size < RECIPIENTS) inos.add(first + below(mailboxes));
  const targets = [...inos].map((ino, k) => ({
    ino,
    private: { unit, offset: length + k * PRIVATE.length, length: PRIVATE.length },
  }));
  store.commit([{ type: "deliver", time: TIME, shared: [{ unit, offset: 0, length }], targets }]);
  written += length + RECIPIENTS * PRIVATE.length + 400;
  if (count % 16 === 15) await store.durable();
}
await store.durable();
process.kill(process.pid, "SIGKILL");
