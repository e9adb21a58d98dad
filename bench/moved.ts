/**
 * What matching a WRITE with the content before it costs (fs/moved/), in memory: the store's own reading is
 * not in these figures. Each row is the median of five runs, beside a copy of the same bytes.
 */
import { randomBytes } from "node:crypto";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { type MoverState, matchWrite } from "../fs/moved/moved.ts";

const FILE_LENGTH = 64 << 20;
const CHUNK_LENGTH = 64 << 10;
const SMALL_CHUNK_LENGTH = 4 << 10;
const SHIFT = 5000;
const EDIT_EVERY = 4000;
const EDIT_LENGTH = 200;
const RUNS = 5;

interface Row {
  readonly name: string;
  /** Bytes of one run. */
  readonly length: number;
  readonly run: () => void;
}

export function main(): void {
  console.log(
    `machine: ${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`,
  );
  console.log(
    `sizes:   file ${FILE_LENGTH >> 20} MiB, writes of ${CHUNK_LENGTH >> 10} KiB and ${SMALL_CHUNK_LENGTH >> 10} KiB, ` +
      `shift ${SHIFT}, edits of ${EDIT_LENGTH} bytes every ${EDIT_EVERY}`,
  );
  // Printable and without repetition, as an encoded attachment is.
  const old = Buffer.from(randomBytes((FILE_LENGTH / 4) * 3).toString("base64"), "latin1");
  const fresh = Buffer.from(randomBytes((FILE_LENGTH / 4) * 3).toString("base64"), "latin1");
  const edited = Buffer.from(old);
  for (let at = 1000; at + EDIT_LENGTH < edited.length; at += EDIT_EVERY) {
    fresh.copy(edited, at, at, at + EDIT_LENGTH);
  }
  const target = Buffer.alloc(CHUNK_LENGTH);
  const rows: Row[] = [
    row("copying, for comparison", old.length, CHUNK_LENGTH, (at, length) => {
      old.copy(target, 0, at, at + length);
    }),
    matching("continuing move", old, old, SHIFT, CHUNK_LENGTH),
    matching("continuing move", old, old, SHIFT, SMALL_CHUNK_LENGTH),
    matching("move with edits", old, edited, SHIFT, CHUNK_LENGTH),
    matching("move with edits", old, edited, SHIFT, SMALL_CHUNK_LENGTH),
    matching("the same in place", old, old, 0, CHUNK_LENGTH),
    matching("fresh content, in order", old, fresh, 0, CHUNK_LENGTH),
    matching("fresh content, in order", old, fresh, 0, SMALL_CHUNK_LENGTH),
    matching("fresh content, at random", old, fresh, undefined, CHUNK_LENGTH),
    matching("fresh content, at random", old, fresh, undefined, SMALL_CHUNK_LENGTH),
  ];
  for (const { name, length, run } of rows) {
    const seconds = Array.from({ length: RUNS }, () => {
      const start = process.hrtime.bigint();
      run();
      return Number(process.hrtime.bigint() - start) / 1e9;
    }).toSorted((a, b) => a - b)[RUNS >> 1]!;
    console.log(`${name.padEnd(40)} ${(length / seconds / 1e6).toFixed(0).padStart(8)} MB/s`);
  }
}

function row(
  name: string,
  length: number,
  chunk: number,
  each: (at: number, length: number) => void,
): Row {
  const run = (): void => {
    for (let at = 0; at + chunk <= length; at += chunk) each(at, chunk);
  };
  return { name, length, run };
}

/** Writes `content` from `shift` on over `old`, which stays as it was; without a shift at places far apart. */
function matching(
  name: string,
  old: Buffer,
  content: Buffer,
  shift: number | undefined,
  chunk: number,
): Row {
  const readOld = (at: number, length: number): Buffer => old.subarray(at, at + length);
  const size = old.length;
  const length = size - (shift ?? 0);
  const chunks = Math.floor(length / chunk);
  const run = (): void => {
    let state: MoverState | undefined;
    for (let i = 0; i < chunks; i++) {
      const at = (shift === undefined ? (i * 7919) % chunks : i) * chunk;
      const from = at + (shift ?? 0);
      const data = content.subarray(from, from + chunk);
      ({ state } = matchWrite({ offset: at, data, size, readOld, state }));
    }
  };
  return { name: `${name}, ${chunk >> 10} KiB`, length, run };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();
