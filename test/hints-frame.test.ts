import fc from "fast-check";
import t from "tap";
import type { Frame } from "../fs/hints/frame.ts";
import { FrameReader, readWhole } from "../fs/hints/frame.ts";
import { BODY_BYTES_MAX, LINE_BYTES_MAX } from "../fs/hints/limits.ts";
import type { Refusal } from "../fs/hints/refusals.ts";
import { isRefusal } from "../fs/hints/refusals.ts";
import { encode } from "./hints-harness.ts";

/** All that comes out of bytes that arrive in these pieces. */
function readAll(reader: FrameReader, pieces: readonly Buffer[]): (Frame | Refusal)[] {
  const results: (Frame | Refusal)[] = [];
  for (const piece of pieces) {
    // The reader must not keep the caller's memory: it is used again, as a binding's buffer is.
    const lent = Buffer.from(piece);
    for (let at = 0; at < lent.length && reader.broken === undefined;) {
      const { end, result } = reader.take(lent, at);
      if (result !== undefined) results.push(result);
      if (end === at && result === undefined) throw new Error("the reader does not move on");
      at = end;
    }
    lent.fill(0xee);
  }
  return results;
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((at) => at % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces: Buffer[] = [];
  let start = 0;
  for (const place of [...places, bytes.length]) {
    pieces.push(bytes.subarray(start, place));
    start = place;
  }
  return pieces;
}

t.test("requests are the same however their bytes are cut", async (t) => {
  const request = fc.record({
    fields: fc.dictionary(
      fc.string().filter((name) => name !== "bodyBytes"),
      fc.jsonValue(),
    ),
    body: fc.uint8Array({ maxLength: 300 }),
  });
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (requests, cuts) => {
        const bytes = Buffer.concat(
          requests.map(({ fields, body }) => encode({ x: fields }, Buffer.from(body))),
        );
        const reader = new FrameReader();
        const frames = readAll(reader, cut(bytes, cuts));
        if (frames.length !== requests.length || reader.held !== 0) return false;
        return frames.every((frame, k) => {
          const wanted = requests[k] as (typeof requests)[number];
          if (isRefusal(frame) || !frame.body.equals(Buffer.from(wanted.body))) return false;
          return JSON.stringify(frame.fields["x"]) === JSON.stringify(wanted.fields);
        });
      },
    ),
    { numRuns: 500, verbose: true },
  );
  t.pass("500 random conversations (a failure prints its seed and path)");
});

t.test("any bytes give the same results in one piece and in pieces", async (t) => {
  const line = fc.oneof(
    fc.string(),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.constantFrom('{"bodyBytes":3}', '{"bodyBytes":-1}', '{"bodyBytes":"1"}', "[]", "null", "{}"),
  );
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(), { maxLength: 10 }), (lines, cuts) => {
      const bytes = Buffer.from(`${lines.join("\n")}\n`);
      const whole = readAll(new FrameReader(), [bytes]);
      const pieces = readAll(new FrameReader(), cut(bytes, cuts));
      return JSON.stringify(whole) === JSON.stringify(pieces);
    }),
    { numRuns: 1_000, verbose: true },
  );
  t.pass("1,000 random inputs (a failure prints its seed and path)");
});

t.test("a body that is too long is refused and skipped", async (t) => {
  const reader = new FrameReader();
  const long = BODY_BYTES_MAX + 5;
  const next = encode({ op: "next" }, "abc");
  const piece = Buffer.alloc(1024 * 1024);
  const pieces = [Buffer.from(`{"bodyBytes":${long}}\n`)];
  for (let left = long; left > 0; left -= piece.length) pieces.push(piece.subarray(0, left));
  const results = readAll(reader, [...pieces, next]);
  t.match(results, [{ reason: "bodyTooLong" }, { fields: { op: "next" } }]);
  t.equal(reader.broken, undefined);
});

t.test("a body may be as long as the limit", async (t) => {
  const results = readAll(new FrameReader(), [encode({}, Buffer.alloc(BODY_BYTES_MAX, 7))]);
  t.equal((results[0] as Frame).body.length, BODY_BYTES_MAX);
});

t.test("a line may be as long as the limit and no longer", async (t) => {
  const line = (length: number): Buffer => Buffer.from(`{"a":"${"x".repeat(length - 9)}"}\n`);
  t.equal(line(100).length, 100);
  t.match(readAll(new FrameReader(), [line(LINE_BYTES_MAX)]), [{ length: LINE_BYTES_MAX }]);
  const reader = new FrameReader();
  t.match(readAll(reader, [line(LINE_BYTES_MAX + 1)]), [{ reason: "lineTooLong" }]);
  t.equal(reader.broken, "lineTooLong");
  const endless = new FrameReader();
  const piece = Buffer.alloc(1024 * 1024, "x");
  t.match(readAll(endless, [piece, piece, piece, piece, piece]), [{ reason: "lineTooLong" }]);
  t.equal(endless.held, 0, "and nothing of it is kept");
});

const broken: readonly (readonly [string, string])[] = [
  ["nonsense", "notJson"],
  ["", "notJson"],
  ['{"a":1', "notJson"],
  ["[1]", "notAnObject"],
  ["null", "notAnObject"],
  ["7", "notAnObject"],
  ['{"bodyBytes":1.5}', "badBodyBytes"],
  ['{"bodyBytes":-1}', "badBodyBytes"],
  ['{"bodyBytes":"4"}', "badBodyBytes"],
  ['{"bodyBytes":9007199254740993}', "badBodyBytes"],
];
for (const [line, reason] of broken) {
  t.test(`after the line ${JSON.stringify(line)} no request can be found`, async (t) => {
    const reader = new FrameReader();
    const results = readAll(reader, [Buffer.from(`${line}\n`), encode({ op: "x" })]);
    t.strictSame(results, [{ reason }]);
    t.equal(reader.broken, reason);
  });
}

t.test("a line that is not UTF-8 is refused", async (t) => {
  t.strictSame(readAll(new FrameReader(), [Buffer.from('{"a":"\xff"}\n', "latin1")]), [
    { reason: "notJson" },
  ]);
});

t.test("a request that comes in one buffer has to be exactly one", async (t) => {
  t.match(readWhole(encode({ op: "x" }, "abc")), { fields: { op: "x" } });
  t.match(readWhole(Buffer.from('{"op":"x"}')), { fields: { op: "x" } });
  t.match(readWhole(encode({ op: "x", bodyBytes: 4 }, "abc")), { reason: "bodyMismatch" });
  t.match(readWhole(encode({ op: "x", bodyBytes: 2 }, "abc")), { reason: "bodyMismatch" });
  t.match(readWhole(Buffer.from("x\n")), { reason: "notJson" });
});
