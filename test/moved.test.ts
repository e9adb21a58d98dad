import { equal } from "node:assert";
import fc from "fast-check";
import t from "tap";
import { commonPrefix, commonSuffix } from "../fs/moved/compare.ts";
import { formatPrivate, formatShared } from "../fs/mbox/format.ts";
import * as limits from "../fs/moved/limits.ts";
import { matchWrite, type MatchWork, type MoverState, noteResize } from "../fs/moved/moved.ts";
import {
  between,
  expungeAsDovecot,
  extendAndMove,
  firstChange,
  MatchedFile,
  message,
  moveBackward,
  moveForward,
  type Random,
  randomFrom,
  type Rewrite,
  rewriteMailbox,
  text,
} from "./movers.ts";
import { readCorpus } from "./system/corpus.ts";

t.setTimeout(120_000);

/** Names say what a chunk is: 0 stands for another random size for each write. */
const CHUNKS = [1, 3, 31, 64, 100, 333, 512, 1000, 4096, 5001, 20_000, 65_536, 262_144, 1 << 20, 0];

/**
 * New bytes that a mover may cost beside those that it edits, for each edit and each left-out message,
 * with chunks of this size. Matches are not tried on less than a key, and short writes see an edit's end late.
 */
function overheadMax(chunk: number): number {
  return chunk !== 0 && chunk < limits.SHORT_WRITE_LENGTH ? 200 : 120;
}

function chunkSize(chunk: number, random: Random): () => number {
  return chunk === 0 ? () => between(random, 1, 2 ** between(random, 1, 16)) : () => chunk;
}

function seedOf(name: string): number {
  return Number(process.env[name] ?? Date.now() % 2 ** 31);
}

interface Mover {
  readonly name: string;
  readonly expunge: number;
  readonly growing: number;
  readonly move: (file: MatchedFile, rewrite: Rewrite, chunk: () => number) => void;
}

const MOVERS: readonly Mover[] = [
  { name: "an expunge", expunge: 0.3, growing: 0.5, move: moveForward },
  { name: "a mover that shortens headers", expunge: 0, growing: 0, move: moveForward },
  { name: "a mover that grows headers from the end", expunge: 0, growing: 1, move: moveBackward },
  {
    name: "a mover that appends zeros first",
    expunge: 0,
    growing: 1,
    move: (file, rewrite, chunk) => extendAndMove(file, rewrite, chunk, false),
  },
  {
    name: "a mover that sets the size first",
    expunge: 0,
    growing: 1,
    move: (file, rewrite, chunk) => extendAndMove(file, rewrite, chunk, true),
  },
];

for (const [index, { name, expunge, growing, move }] of MOVERS.entries()) {
  t.test(`${name} makes little more than the edited bytes new`, (t) => {
    for (const chunk of CHUNKS) {
      const random = randomFrom(chunk * 31 + index);
      const length = chunk > 0 && chunk < 64 ? 100_000 : 1_000_000;
      const rewrite = rewriteMailbox(random, { length, bodyLength: 9000, expunge, growing });
      const file = new MatchedFile(rewrite.before, workIsBounded);
      move(file, rewrite, chunkSize(chunk, random));
      t.ok(file.bytes().equals(rewrite.after), "the file is right");
      const { newBytes, writtenBytes } = file.totals;
      const zeros = Math.max(0, writtenBytes - (rewrite.after.length - firstChange(rewrite)));
      const over = newBytes - zeros - rewrite.editedBytes;
      const edits = rewrite.edits + rewrite.expunges;
      t.comment(
        `chunk ${chunk || "random"}: ${writtenBytes - zeros} written, ${newBytes - zeros} new, ` +
          `${rewrite.editedBytes} edited, ${(over / edits).toFixed(0)} over for each of ${edits} edits`,
      );
      t.ok(over <= overheadMax(chunk) * edits, `chunk ${chunk}`);
    }
    t.end();
  });
}

t.test("an expunge by Dovecot makes little more than the edited bytes new", (t) => {
  for (const expunge of [0.02, 0.1, 0.5, 0.8]) {
    for (const bodyLength of [300, 3000, 12_000]) {
      const random = randomFrom(expunge * 1000 + bodyLength);
      const mails = Array.from({ length: 200 }, () => {
        const length = Math.floor(bodyLength * (0.2 + 1.6 * random()));
        return message(random, length);
      });
      const gone = mails.map((_, i) => i === 3 || random() < expunge);
      const file = new MatchedFile(Buffer.concat(mails), workIsBounded);
      const moved = expungeAsDovecot(file, mails, (index) => gone[index]!);
      const { newBytes, writtenBytes } = file.totals;
      t.comment(
        `${expunge} of bodies of ${bodyLength}: ${writtenBytes} written, ` +
          `${(newBytes / moved).toFixed(0)} new for each of ${moved} messages`,
      );
      t.ok(newBytes <= 64 * moved, `${expunge} of ${bodyLength}`);
    }
  }
  t.end();
});

t.test("an expunge in real mail makes little new", (t) => {
  const envelope = { sender: "ann@example.org", time: new Date(1e12), deliveredTo: "user1" };
  const own = formatPrivate(envelope);
  // Neighbours come from the same lists, so that their headers have most lines in common.
  const mails = readCorpus(200).messages.map(({ bytes }) =>
    Buffer.concat([own, formatShared(bytes)]),
  );
  const before = Buffer.concat(mails);
  for (const [name, partMax, isGone] of [
    ["every second", 0.01, (i: number) => i % 2 === 1],
    ["every tenth", 0.01, (i: number) => i % 10 === 3],
    // Between those that stay lie up to 400 KB.
    ["all but every tenth", 0.1, (i: number) => i % 10 !== 3],
  ] as const) {
    const after = Buffer.concat(mails.filter((_, i) => !isGone(i)));
    for (const chunk of [4096, 8192, 65_536]) {
      const file = new MatchedFile(before, workIsBounded);
      const rewrite = { before, after, editedBytes: 0, edits: 0, expunges: 1 };
      moveForward(file, rewrite, () => chunk);
      const { newBytes, writtenBytes } = file.totals;
      t.comment(`${name}, chunk ${chunk}: ${newBytes} of ${writtenBytes} new`);
      t.ok(newBytes <= partMax * writtenBytes, `${name}, chunk ${chunk}`);
    }
  }
  t.end();
});

t.test("edits that replace bytes in place cost what they replace", (t) => {
  for (const chunk of [1, 7, 100, 1000, 8192, 1 << 20]) {
    const random = randomFrom(chunk);
    const before = Buffer.concat(Array.from({ length: 30 }, () => message(random, 5000)));
    const after = Buffer.from(before);
    let edits = 0;
    let editedBytes = 0;
    for (let at = 700; at < after.length - 400; at += between(random, 2000, 5000), edits++) {
      editedBytes += text(random, between(random, 20, 400)).copy(after, at);
    }
    const file = new MatchedFile(before, workIsBounded);
    for (let at = 0; at < after.length; at += chunk) {
      file.write(at, after.subarray(at, at + chunk));
    }
    const over = file.totals.newBytes - editedBytes;
    t.comment(`chunk ${chunk}: ${editedBytes} edited, ${(over / edits).toFixed(0)} over each`);
    t.ok(over <= 120 * edits, `chunk ${chunk}`);
  }
  t.end();
});

t.test("a mover that reads ahead and writes upwards keeps what it has not overwritten", (t) => {
  const random = randomFrom(11);
  const before = Buffer.concat(Array.from({ length: 100 }, () => message(random, 8000)));
  for (const shift of [40, 300, 3000]) {
    const after = Buffer.concat([text(random, shift), before]);
    const file = new MatchedFile(before, workIsBounded);
    for (let at = 0; at < after.length; at += 16_384) {
      file.write(at, after.subarray(at, at + 16_384));
    }
    t.ok(file.bytes().equals(after));
    const { newBytes, writes } = file.totals;
    t.comment(`shift ${shift}: ${newBytes} new in ${writes} writes`);
    t.ok(newBytes <= writes * (shift + limits.MATCH_LENGTH_MIN), `shift ${shift}`);
  }
  t.end();
});

t.test("a message of 5 MB that is left out is overcome after some writes", (t) => {
  const random = randomFrom(5);
  const kept = Buffer.concat(Array.from({ length: 300 }, () => message(random, 20_000)));
  const gone = text(random, 5_000_000);
  for (const chunk of [16_384, 65_536, 262_144]) {
    const before = Buffer.concat([gone, kept]);
    const rewrite = { before, after: kept, editedBytes: 0, edits: 0, expunges: 1 };
    const file = new MatchedFile(before, workIsBounded);
    moveForward(file, rewrite, () => chunk);
    t.comment(`chunk ${chunk}: ${file.totals.newBytes} of ${kept.length} new`);
    t.ok(file.totals.newBytes <= Math.max(8 * chunk, 2_000_000), `chunk ${chunk}`);
  }
  t.end();
});

t.test("a mover whose state is lost is found again", (t) => {
  const random = randomFrom(17);
  const options = { length: 2_000_000, bodyLength: 9000, expunge: 0.3, growing: 0.5 };
  const rewrite = rewriteMailbox(random, options);
  const file = new MatchedFile(rewrite.before, workIsBounded);
  moveForward(file, rewrite, () => {
    if (random() < 0.2) file.state = undefined;
    return 8192;
  });
  t.comment(`${file.totals.newBytes} new, ${rewrite.editedBytes} edited`);
  t.ok(file.totals.newBytes < 4 * rewrite.editedBytes);
  t.end();
});

t.test("a write of what is there changes nothing", (t) => {
  const random = randomFrom(3);
  const content = Buffer.concat([message(random, 200_000), Buffer.alloc(1000)]);
  for (const [offset, length] of [
    [0, content.length],
    [0, 1],
    [777, 1],
    [500, 15],
    [4096, 65_536],
    [content.length - 500, 500],
  ] as const) {
    const { pieces } = match(content, offset, content.subarray(offset, offset + length));
    t.same(pieces, [{ kind: "old", offset, length }], `${length} bytes at ${offset}`);
  }
  t.end();
});

t.test("flags written into the blanks of a header cost a few bytes", (t) => {
  const content = message(randomFrom(4), 5000);
  const blanks = content.indexOf("X-Keywords:") + "X-Keywords:".length;
  const header = Buffer.from(content.subarray(0, blanks + 192));
  header.write(" NonJunk $Forwarded", blanks);
  const { pieces } = match(content, 0, header);
  t.same(pieces, [
    { kind: "old", offset: 0, length: blanks + 1 },
    { kind: "new", offset: blanks + 1, length: 18 },
    { kind: "old", offset: blanks + 19, length: 192 - 19 },
  ]);
  t.end();
});

t.test("short writes go on with a running shift", (t) => {
  const content = text(randomFrom(5), 100_000);
  const first = match(content, 0, content.subarray(5000, 15_000));
  t.same(first.pieces, [{ kind: "old", offset: 5000, length: 10_000 }]);
  const next = match(content, 10_000, content.subarray(15_000, 15_001), first.state);
  t.same(next.pieces, [{ kind: "old", offset: 15_000, length: 1 }]);
  t.same(next.work, { reads: 1, bytesRead: 1, bytesSearched: 0, bytesCompared: 1 });
  const before = match(content, 50_000, content.subarray(49_000, 60_000));
  const down = match(content, 49_999, content.subarray(48_999, 49_000), before.state);
  t.same(down.pieces, [{ kind: "old", offset: 48_999, length: 1 }]);
  t.end();
});

t.test("a continuing move reads what it writes and searches nothing", (t) => {
  const content = text(randomFrom(6), 1_000_000);
  let { state } = match(content, 0, content.subarray(3000, 70_000));
  for (let at = 67_000; at < 600_000; at += 65_536) {
    const { work, ...matched } = match(
      content,
      at,
      content.subarray(at + 3000, at + 68_536),
      state,
    );
    t.same(matched.pieces, [{ kind: "old", offset: at + 3000, length: 65_536 }]);
    t.equal(work.bytesRead, 65_536);
    t.equal(work.bytesSearched, 0);
    state = matched.state;
  }
  t.end();
});

t.test("appends read nothing", (t) => {
  const random = randomFrom(8);
  const file = new MatchedFile(Buffer.alloc(0));
  for (let i = 0; i < 200; i++) {
    const mail = message(random, between(random, 1, 5000));
    for (let at = 0; at < mail.length; at += 4096) {
      file.write(file.size, mail.subarray(at, at + 4096));
    }
  }
  t.equal(file.totals.work.bytesRead, 0);
  t.equal(file.totals.newBytes, file.size);
  t.end();
});

t.test("fresh content written over a file is hardly looked for", (t) => {
  const random = randomFrom(9);
  const before = text(random, 8 << 20);
  for (const chunk of [512, 4096, 65_536, 1 << 20]) {
    for (const order of ["in order", "at random"] as const) {
      const file = new MatchedFile(before, workIsBounded);
      const fresh = Buffer.alloc(chunk);
      const length = Math.min(before.length, chunk * 1024);
      for (let at = 0; at < length; at += chunk) {
        for (let i = 0; i < chunk; i += 4) fresh.writeUInt32LE(random() * 2 ** 32, i);
        file.write(
          order === "in order" ? at : chunk * between(random, 0, length / chunk - 1),
          fresh,
        );
      }
      const { bytesRead, bytesSearched } = file.totals.work;
      t.comment(`${chunk} ${order}: ${bytesRead} read, ${bytesSearched} searched of ${length}`);
      t.equal(file.totals.newBytes, file.totals.writtenBytes);
      // The waits double, so that the number of searches grows with the logarithm of what is written.
      const searches = limits.FAILURES_FREE + 2 + Math.log2(length / limits.QUIET_LENGTH);
      t.ok(bytesSearched <= searches * (limits.SEARCHED_MAX + 4 * chunk), "searched");
      t.ok(bytesRead <= (4 << 20) + 2 * length, "read");
    }
  }
  t.end();
});

t.test("repetitive content is bounded in its work", (t) => {
  const random = randomFrom(10);
  const patterns: Buffer[] = [
    Buffer.alloc(1 << 20),
    Buffer.alloc(1 << 20, " "),
    Buffer.alloc(1 << 20, "=-=-"),
    Buffer.alloc(1 << 20, "0123456789abcdef0123456789abcdef\n"),
    Buffer.alloc(1 << 20, `${" ".repeat(31)}A`),
    Buffer.alloc(1 << 20, text(random, 97)),
  ];
  for (const old of patterns) {
    for (const pattern of patterns) {
      const file = new MatchedFile(old, workIsBounded);
      const data = Buffer.from(pattern);
      // A difference every few hundred bytes, so that nothing is equal for long.
      for (let at = 50; at < data.length; at += between(random, 100, 700)) data[at]! ^= 1;
      for (let at = 0; at < 3; at++) file.write(at * 70_001, data.subarray(0, 200_000));
      file.write(1000, data.subarray(0, 1_000_000));
    }
  }
  t.end();
});

t.test("a size that was set is remembered as a shift", (t) => {
  t.equal(noteResize(undefined, 5, 5), undefined);
  t.equal(noteResize(undefined, 5, 12)?.sizeChange, 7);
  t.end();
});

t.test("pieces give the data whatever is written, and whatever the state says", (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.array(fc.constantFrom(0, 65), { maxLength: 3000 }).map((list) => Uint8Array.from(list)),
    fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 90 }), fc.nat(4000))
      .map(([pattern, length]) => Buffer.alloc(length, pattern)),
    fc.nat(2 ** 31).map((seed) => message(randomFrom(seed), seed % 5000)),
  );
  const step = fc.oneof(
    fc.record({ kind: fc.constant("write" as const), offset: fc.nat(9000), bytes }),
    fc.record({
      kind: fc.constant("move" as const),
      offset: fc.nat(9000),
      from: fc.nat(9000),
      length: fc.nat(6000),
      chunk: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 5000 })),
      down: fc.boolean(),
      edits: fc.array(fc.nat(6000), { maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant("truncate" as const), size: fc.nat(9000) }),
    fc.record({ kind: fc.constant("forget" as const) }),
    fc.record({ kind: fc.constant("swap" as const) }),
  );
  const property = fc.property(bytes, fc.array(step, { maxLength: 12 }), (initial, steps) => {
    const file = new MatchedFile(Buffer.from(initial), workIsBounded);
    let other: MoverState | undefined;
    for (const it of steps) {
      if (it.kind === "write") {
        file.write(it.offset, Buffer.from(it.bytes));
      } else if (it.kind === "truncate") {
        file.truncate(it.size);
      } else if (it.kind === "forget") {
        file.state = undefined;
      } else if (it.kind === "swap") {
        // The state of another file, or of long ago.
        [file.state, other] = [other, file.state];
      } else {
        const data = Buffer.from(file.bytes().subarray(it.from, it.from + it.length));
        for (const at of it.edits)
          if (at + 50 < data.length) data.fill("edited header", at, at + 50);
        const offsets: number[] = [];
        for (let at = 0; at < data.length; at += it.chunk) offsets.push(at);
        for (const at of it.down ? offsets.toReversed() : offsets) {
          file.write(it.offset + at, data.subarray(at, at + it.chunk));
        }
      }
    }
  });
  const seed = seedOf("FC_SEED");
  t.comment(`repeat: FC_SEED=${seed} node dist/test/moved.test.js`);
  t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 300 }));
  t.end();
});

t.test("prefixes and suffixes are as long as a byte-by-byte comparison says", (t) => {
  const random = randomFrom(12);
  for (let round = 0; round < 3000; round++) {
    const length = between(random, 0, 2 ** between(random, 0, 12));
    const a = Buffer.from(text(random, length + 20));
    const b = Buffer.from(a);
    for (let i = between(random, 0, 2); i > 0; i--) b[between(random, 0, length)]! ^= 1;
    let prefix = 0;
    while (prefix < length && a[prefix + 3] === b[prefix + 3]) prefix++;
    equal(commonPrefix(a, 3, b, 3, length), prefix);
    let suffix = 0;
    while (suffix < length && a[length + 2 - suffix] === b[length + 2 - suffix]) suffix++;
    equal(commonSuffix(a, length + 3, b, length + 3, length), suffix);
  }
  t.pass("3000 rounds");
  t.end();
});

function match(
  content: Buffer,
  offset: number,
  data: Buffer,
  state?: MoverState,
): ReturnType<typeof matchWrite> {
  const readOld = (at: number, length: number): Buffer => content.subarray(at, at + length);
  return matchWrite({ offset, data, size: content.length, readOld, state });
}

function workIsBounded(work: MatchWork, length: number): void {
  const { bytesRead, bytesSearched, bytesCompared } = work;
  const readMax = limits.FAR_LENGTH_MAX + limits.READ_SMALL_MAX + limits.READ_PER_BYTE_MAX * length;
  if (bytesRead > readMax) throw new Error(`${bytesRead} bytes read for a write of ${length}`);
  // A search or comparison that began within the budget may go on to its end.
  const text = length + limits.CONTEXT_LENGTH_MAX;
  const workMax =
    limits.SEARCHED_MAX + limits.SEARCHED_PER_BYTE_MAX * text + limits.FAR_LENGTH_MAX + 5 * text;
  if (bytesSearched + bytesCompared > workMax) {
    throw new Error(`${bytesSearched} + ${bytesCompared} bytes of work for a write of ${length}`);
  }
}
