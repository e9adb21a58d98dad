import fc from "fast-check";
import t from "tap";
import { addSharedExtents, layOut, PRIVATE_CHUNK_LENGTH_MAX } from "../fs/delivery/layout.ts";
import type { Extent } from "../fs/store/records/change.ts";
import { CHUNK_LENGTH_MAX, UNIT_LENGTH_MAX } from "../fs/store/records/format.ts";

/** A body in which every place can be told from its neighbours. */
function bodyOf(length: number): Buffer {
  const body = Buffer.alloc(length);
  for (let at = 0; at < length; at++) body[at] = (at * 7 + (at >> 8) * 31) & 255;
  return body;
}

const lengths = fc.oneof(
  fc.nat(400),
  fc.constantFrom(0, 1, 4_095, 4_096, 4_097, 65_536, 262_143, 262_144, 262_145, 600_000),
);
const ownLength = fc.oneof(fc.nat(300), fc.constantFrom(0, 4_096, 4_097, 65_535, 65_536));

t.test(
  "every file's bytes are found in the units, and units and chunks keep their limits",
  async (t) => {
    fc.assert(
      fc.property(lengths, fc.array(ownLength, { minLength: 1, maxLength: 60 }), (shared, own) => {
        const body = bodyOf(own.reduce((sum, length) => sum + length, shared));
        const layout = layOut(body, shared, own);
        const units = layout.units.map((unit) => Buffer.concat(unit.parts));
        for (const [k, unit] of layout.units.entries()) {
          const length = (units[k] as Buffer).length;
          if (length === 0 || length > UNIT_LENGTH_MAX) return false;
          if (unit.chunkLengths.reduce((sum, chunk) => sum + chunk, 0) !== length) return false;
          if (unit.chunkLengths.some((chunk) => chunk <= 0 || chunk > CHUNK_LENGTH_MAX))
            return false;
        }
        const ids = units.map((_, k) => k);
        const extents: Extent[] = [];
        addSharedExtents(layout, ids, 0, shared, extents);
        const found = Buffer.concat(
          extents.map(({ unit, offset, length }) =>
            (units[unit] as Buffer).subarray(offset, offset + length),
          ),
        );
        if (!found.equals(body.subarray(0, shared))) return false;
        let at = shared;
        for (const [k, length] of own.entries()) {
          const unit = units[layout.privateUnits[k] as number] ?? Buffer.alloc(0);
          const offset = layout.privateOffsets[k] as number;
          const mine = unit.subarray(offset, offset + length);
          if (length > 0 && !mine.equals(body.subarray(at, at + length))) return false;
          at += length;
        }
        const total = units.reduce((sum, unit) => sum + unit.length, 0);
        return total === body.length;
      }),
      { numRuns: 400, verbose: true },
    );
    t.pass("400 random deliveries (a failure prints its seed and path)");
  },
);

t.test("a delivery that fits is one unit", async (t) => {
  const { units } = layOut(bodyOf(4_096 + 1_000 * 130), 4_096, Array<number>(1_000).fill(130));
  t.equal(units.length, 1);
});

t.test("private bytes lie in small chunks that end where a file's bytes end", async (t) => {
  const { units } = layOut(bodyOf(4_096 + 100 * 130), 4_096, Array<number>(100).fill(130));
  const [shared, ...own] = units[0]?.chunkLengths ?? [];
  t.equal(shared, 4_096);
  for (const chunk of own) {
    t.ok(chunk <= PRIVATE_CHUNK_LENGTH_MAX);
    t.equal(chunk % 130, 0);
  }
});

t.test("for a single file the private bytes stand right before the shared ones", async (t) => {
  const body = bodyOf(5_000);
  const layout = layOut(body, 4_870, [130]);
  const extents: Extent[] = [];
  addSharedExtents(layout, [9], 0, 4_870, extents);
  t.strictSame(extents, [{ unit: 9, offset: 130, length: 4_870 }]);
  t.strictSame([layout.privateUnits[0], layout.privateOffsets[0]], [0, 0]);
});
