/** Requests that nobody would write: the file system answers each, and a refused one changes nothing. */
import fc from "fast-check";
import t from "tap";
import { ALICE, exchange, Harness, ROOT_CALLER } from "./hints-harness.ts";

const path = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "dir/c", "link", "dir/../b") },
  fc.constantFrom("dir", "loop", "out", "new", "dir/new", ".onespool", "", ".", "..", "/", "a/"),
  fc.constantFrom("dir/..", "dir//c", "\0", "é", "a".repeat(300)),
  fc.string({ maxLength: 8 }),
);
const strange = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(-1, 0.5, 2 ** 53, 1e300, "", [], {}, null, true),
);
const count = fc.oneof({ weight: 6, arbitrary: fc.nat(12) }, { weight: 1, arbitrary: strange });

/** Objects in which a field may be missing or anything at all. */
function spoiled(fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  const all = fc.record(fields, { requiredKeys: [] });
  const extra = fc.dictionary(fc.constantFrom(...Object.keys(fields), "x", "__proto__"), strange, {
    maxKeys: 1,
  });
  return fc.oneof(
    { weight: 6, arbitrary: fc.record(fields) },
    { weight: 2, arbitrary: all },
    { weight: 1, arbitrary: fc.tuple(all, extra).map(([one, other]) => ({ ...one, ...other })) },
  );
}

const create = spoiled({ mode: count, uid: count, gid: count });
const target = fc.oneof(
  { weight: 3, arbitrary: fc.record({ path, privateBytes: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ path, privateBytes: fc.nat(3), create }) },
  { weight: 1, arbitrary: spoiled({ path, path64: fc.base64String({ maxLength: 8 }) }) },
);
const unit = fc.constantFrom("1", "2", "3");
const piece = fc.oneof(
  fc.record({ bytes: fc.integer({ min: 1, max: 4 }) }),
  spoiled({ unit, offset: count, length: count }),
);
const range = spoiled({ path, offset: count, length: count });

function listOf(one: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const list = fc.array(one, { minLength: 1, maxLength: 3 });
  return fc.oneof({ weight: 8, arbitrary: list }, { weight: 1, arbitrary: strange });
}

function request(op: string, fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  return spoiled(fields).map((rest) => ({ ...rest, op }));
}

const anyRequest = fc.oneof(
  { weight: 4, arbitrary: request("deliver", { shared: listOf(piece), to: listOf(target) }) },
  request("write", { lengths: listOf(fc.integer({ min: 1, max: 3 })) }),
  request("forget", { units: listOf(unit) }),
  request("share", { from: range, to: spoiled({ path }) }),
  range.map((fields) => ({ ...fields, op: "remove" })),
  request("statistics", { path }),
  fc.record({ op: strange, version: strange }),
);

/** The length of a body that fits the request, as far as it says one. */
function fitting(fields: Record<string, unknown>): number {
  const sum = (list: unknown, name: string): number =>
    !Array.isArray(list)
      ? 0
      : list.reduce<number>((total, one) => {
          const value: unknown =
            name === "" ? one : (one as Record<string, unknown> | null)?.[name];
          return total + (typeof value === "number" && value > 0 && value < 100 ? value : 0);
        }, 0);
  return (
    sum(fields["lengths"], "") + sum(fields["shared"], "bytes") + sum(fields["to"], "privateBytes")
  );
}

for (const caller of [ROOT_CALLER, ALICE]) {
  t.test(
    `whatever uid ${caller.uid} asks is answered, and a refusal changes nothing`,
    async (t) => {
      let done = 0;
      const one = fc.record({ fields: anyRequest, spoilBody: fc.nat(9), locked: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(one, { maxLength: 12 }), async (requests) => {
          const harness = await Harness.open();
          harness.directoryAt("dir", 0o777);
          for (const name of ["a", "b", "dir/c"]) harness.fileAt(name, "0123456789", 0o666);
          harness.linkAt("link", "dir/c");
          harness.linkAt("loop", "loop");
          harness.linkAt("out", "../x");
          const session = harness.session(caller);
          for (const { fields, spoilBody, locked } of requests) {
            const ino = harness.ino("a");
            if (locked) harness.lock(ino, "write");
            const length = fitting(fields as Record<string, unknown>);
            const body = "x".repeat(Math.round(length) + (spoilBody === 0 ? 1 : 0));
            const before = harness.picture();
            const reply = await exchange(session, { ...fields, bodyBytes: body.length }, body);
            if (reply["ok"] === true) done++;
            else {
              if (typeof reply["error"] !== "string") return false;
              if (typeof reply["reason"] !== "string") return false;
              const after = harness.picture();
              if (JSON.stringify(after) !== JSON.stringify(before)) return false;
            }
            harness.deliveries.check();
            if (locked) harness.lock(ino, "unlock");
          }
          session.close();
          await harness.close();
          return true;
        }),
        { numRuns: 100, verbose: true },
      );
      t.ok(done > 20, "some are not refused (a failure prints its seed and path)");
    },
  );
}
