/** The shared part of a message that is made while it comes, compared with the one that is made of the whole. */
import fc from "fast-check";
import t from "tap";
import { formatShared } from "../fs/mbox/format.ts";
import { HeaderReader } from "../fs/mbox/header.ts";
import { Quoter } from "../fs/mbox/quoting.ts";
import type { ContentEnd } from "../server/delivery/content.ts";
import { Content, SHORT_BYTES_MAX, UNIT_BYTES } from "../server/delivery/content.ts";

const limits = { bytesMax: 65_536, fieldsMax: 1_000, receivedFieldsMax: 50 };
const top = "Received: from here\n";
const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
t.comment(`repeat: FC_SEED=${seed} node dist/test/delivery-content.test.js`);

interface Result {
  readonly stored: Buffer;
  readonly units: number;
  readonly heldBytesMax: number;
}

/** As the delivery does: what fills a unit is taken away after each piece. */
function store(message: Buffer, cuts: readonly number[], only = limits): Result | string {
  const content = new Content(only, () => top);
  const units: Buffer[] = [];
  let heldBytesMax = 0;
  let at = 0;
  for (const cut of [...cuts, message.length]) {
    content.take(message.subarray(at, Math.max(at, cut)));
    at = Math.max(at, cut);
    heldBytesMax = Math.max(heldBytesMax, content.heldBytes);
    for (let unit = content.unit("#"); unit !== undefined; unit = content.unit("#")) {
      units.push(unit.subarray(1));
    }
  }
  const end = content.end();
  if (typeof end === "string") return end;
  const { header, rest, restBytes, bytes } = end satisfies ContentEnd;
  const stored = Buffer.concat([Buffer.from(header, "latin1"), ...units, ...rest]);
  const restLength = rest.reduce((sum, part) => sum + part.length, 0);
  if (bytes !== stored.length || restBytes !== restLength) throw new Error("lengths are wrong");
  return { stored, units: units.length, heldBytesMax };
}

const expected = (message: Buffer) => Buffer.concat([Buffer.from(top), formatShared(message)]);

function isRight(message: Buffer, cuts: readonly number[]): boolean {
  const result = store(message, cuts);
  return typeof result !== "string" && result.stored.equals(expected(message));
}

function every(step: number, length: number): number[] {
  return Array.from({ length: Math.floor(length / step) }, (_, k) => (k + 1) * step);
}

t.test("at every size around the bounds of short messages and of units", async (t) => {
  const line = ">From abc\nFrom x\n";
  for (const edge of [SHORT_BYTES_MAX, 2 * UNIT_BYTES, 3 * UNIT_BYTES]) {
    const whole = `A: 1\n\n${line.repeat(Math.ceil(edge / line.length) + 10)}`;
    const wrong: number[] = [];
    // What quoting adds is a part of it: the sizes go over a whole turn of it, and one byte more.
    for (let size = edge - 20; size <= edge + 20; size++) {
      const message = Buffer.from(whole.slice(0, size));
      if (!isRight(message, every(65_536, size)) || !isRight(message, [size - 1])) wrong.push(size);
    }
    t.strictSame(wrong, []);
  }
});

t.test("a From_ line across the end of a unit and of a piece is quoted", async (t) => {
  const header = "A: 1\n\n";
  for (let before = UNIT_BYTES - 12; before <= UNIT_BYTES + 1; before++) {
    const text = `${"x".repeat(before - 1)}\n>>From here\n${"y".repeat(SHORT_BYTES_MAX)}`;
    const message = Buffer.from(header + text);
    for (let cut = 0; cut < 10; cut++) {
      const at = header.length + before + cut;
      if (!isRight(message, [at, at + 1, at + 3])) t.fail(`before ${before}, cut ${cut}`);
    }
  }
  t.pass("in every position");
});

const line = fc.oneof(
  fc.constantFrom("From ", ">From ", ">>>From x", "From", ">", "", " ", "Fro", "\tfolded"),
  fc.constantFrom("Content-Length: 3", "A: b", "From : c", "Status: RO", "X-UID : 4", "\0\xff"),
  fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[\r\n]/g, "")),
);
const text = fc
  .tuple(fc.array(line, { maxLength: 12 }), fc.array(line, { maxLength: 12 }), fc.boolean())
  .map(([header, body, ends]) => `${header.join("\n")}\n\n${body.join("\n")}${ends ? "\n" : ""}`);

t.test("cut anywhere, the bytes are the same", async (t) => {
  const property = fc.property(text, fc.array(fc.nat(200), { maxLength: 20 }), (given, cuts) => {
    const message = Buffer.from(given, "utf8");
    const sorted = cuts.map((cut) => Math.min(cut, message.length)).toSorted((a, b) => a - b);
    return isRight(message, sorted) && isRight(message, every(1, message.length));
  });
  t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 2_000 }));
});

t.test("long ones too", async (t) => {
  const cuts = fc.array(fc.nat(600_000), { maxLength: 30 });
  const property = fc.property(text, fc.nat(500_000), cuts, (given, length, all) => {
    const filler = `${given.slice(0, 70)}\n`.repeat(Math.ceil(length / (given.length + 1)));
    const message = Buffer.from(`${given}${filler}`.slice(0, length), "utf8");
    const sorted = all.map((cut) => Math.min(cut, message.length)).toSorted((a, b) => a - b);
    const result = store(message, sorted);
    return result === "headerTooLong" || isRight(message, sorted);
  });
  t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 200 }));
});

t.test("quoting in pieces is quoting by the expression of mboxrd", async (t) => {
  const bytes = fc.array(fc.constantFrom("\n", ">", "From ", "F", "rom", "o", " ", "x"), {
    maxLength: 60,
  });
  const property = fc.property(bytes, fc.array(fc.nat(120), { maxLength: 30 }), (parts, cuts) => {
    const whole = parts.join("");
    const quoter = new Quoter();
    const out: Buffer[] = [];
    let at = 0;
    for (const cut of [...cuts.toSorted((a, b) => a - b), whole.length]) {
      quoter.take(Buffer.from(whole.slice(at, cut)), out);
      at = Math.max(at, cut);
    }
    quoter.end(out);
    return Buffer.concat(out).toString() === whole.replaceAll(/(^|\n)(>*From )/g, "$1>$2");
  });
  t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 5_000 }));
});

t.test("of a long message no more than 256 KiB is held", async (t) => {
  const message = Buffer.from(`A: 1\n\n${"From x and some more\n".repeat(400_000)}`);
  for (const step of [1_000, 65_536]) {
    const result = store(message, every(step, message.length));
    if (typeof result === "string") return t.fail(result);
    t.ok(result.stored.equals(expected(message)));
    t.ok(result.heldBytesMax <= 256 * 1024, `${result.heldBytesMax}`);
    t.ok(result.units > 60);
  }
  return undefined;
});

t.test("the limits of the header refuse alike, however the message is cut", async (t) => {
  const small = { bytesMax: 200, fieldsMax: 10, receivedFieldsMax: 3 };
  const cases: readonly (readonly [string, string | undefined])[] = [
    [`A: ${"x".repeat(195)}\n\nbody\n`, undefined],
    [`A: ${"x".repeat(196)}\n\nbody\n`, "headerTooLong"],
    [`A: ${"x".repeat(197)}`, undefined],
    [`A: ${"x".repeat(198)}`, "headerTooLong"],
    [`${"A: 1\n".repeat(10)}\n`, undefined],
    ["A: 1\n".repeat(11), "tooManyFields"],
    [`${"rEceived : x\n".repeat(3)}\n${"Received: x\n".repeat(9)}`, undefined],
    [`${"rEceived : x\n\tfolded\n".repeat(4)}\n`, "tooManyReceived"],
    [`A: 1\n ${"folded\n ".repeat(30)}`, "headerTooLong"],
  ];
  for (const [given, wanted] of cases) {
    const message = Buffer.from(given);
    for (const cuts of [[], every(1, message.length), every(7, message.length)]) {
      const result = store(message, cuts, small);
      t.equal(typeof result === "string" ? result : undefined, wanted, given.slice(0, 20));
    }
  }
});

t.test("what a fault of the header leaves is dropped as it comes", async (t) => {
  const content = new Content({ ...limits, fieldsMax: 1 }, () => top);
  content.take(Buffer.from(`A: 1\nB: 2\n\n${"x".repeat(SHORT_BYTES_MAX)}`));
  for (let k = 0; k < 100; k++) content.take(Buffer.alloc(65_536));
  t.equal(content.heldBytes < SHORT_BYTES_MAX, true);
  t.equal(content.unit(""), undefined);
  t.equal(content.end(), "tooManyFields");
});

t.test("a field is found whatever its case, and only in the header", async (t) => {
  const has = (given: string): boolean[] => {
    const reader = new HeaderReader();
    if (reader.take(Buffer.from(given)) === undefined) reader.end();
    return [reader.hasMessageId, reader.hasDate];
  };
  t.strictSame(has("MESSAGE-id : <a>\ndate:\n\n"), [true, true]);
  t.strictSame(has("A: 1\n\nMessage-ID: <a>\nDate: x\n"), [false, false]);
  t.strictSame(has("X-Date: 1\nDate: x"), [false, true]);
});
