/**
 * Bytes of the last segment that are not whole records: what a crash leaves behind the last sync is taken off, and is no
 * damage; what stood on stable storage is damage, is told, and nothing is taken off. A start, fsck and salvage agree.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { salvage } from "../fs/salvage/salvage.ts";
import { StoreError } from "../fs/store/errors.ts";
import { SEGMENT_HEADER_LENGTH } from "../fs/store/records/format.ts";
import { scanSegment } from "../fs/store/log/segment-scan.ts";
import { fsck, Life, openAgain, STORE } from "./system/cut-life.ts";
import { pictureOf } from "./system/naive-store.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

t.setTimeout(240_000);
// Hundreds of starts tell of torn tails.
process.removeAllListeners("warning");

const LOG = `${STORE}/log`;
const isLong = process.env["ONESPOOL_LONG"] === "1";

interface Log {
  readonly life: Life;
  readonly machine: SimulatedMachine;
  /** The last segment. */
  readonly path: string;
  readonly segment: number;
  /** So much of it is on stable storage, as its commits know. */
  readonly durableEnd: number;
  /** Behind the last commit. */
  readonly end: number;
}

/** `moved`: a sync has failed, and the log has gone on in another segment. */
async function make(moved: boolean): Promise<Log> {
  const machine = new SimulatedMachine();
  const life = new Life(machine);
  await life.open();
  const scene = new Scene(life);
  const [a, b] = [scene.create("a"), scene.create("b")];
  await life.store.durable();
  scene.deliver([a, b], 50, 3000);
  if (moved) machine.power.failAt({ call: "fdatasync", code: "EIO", count: 1 });
  await life.store.durable();
  machine.power.heal();
  scene.append(a, 2000);
  scene.pend("c", 700);
  await life.store.durable();
  scene.append(b, 1000);
  scene.setXattr(a, "user.a", Buffer.from("unsynced"));
  scene.append(a, 500);
  life.store.flush();
  const segment = machine.disk.list(LOG).length;
  const path = `${LOG}/${String(segment).padStart(8, "0")}.seg`;
  const { durableEnd, end } = scanSegment(contentOf(machine, path), segment, true, () => {});
  return { life, machine, path, segment, durableEnd, end };
}

function contentOf({ disk }: SimulatedMachine, path: string): Buffer {
  const bytes = Buffer.alloc(disk.length(path));
  const fd = disk.open(path, "r");
  disk.read(fd, bytes, 0, bytes.length, 0);
  disk.close(fd);
  return bytes;
}

function keptEnds({ disk }: SimulatedMachine): string[] {
  return disk.list(LOG).filter((name) => name.includes("cut-at"));
}

for (const moved of [false, true]) {
  const which = moved ? ", also of one that has begun with what could not be synced" : "";

  t.test(`a damaged byte of the synced part is damage${which}`, async (t) => {
    const { machine, path, segment, durableEnd } = await make(moved);
    t.equal(segment, moved ? 2 : 1);
    t.ok(durableEnd > 2000, `${durableEnd} bytes are known to be on stable storage`);
    let refused = 0;
    for (let at = SEGMENT_HEADER_LENGTH; at < durableEnd; at += isLong ? 1 : 13) {
      const spoilt = machine.restarted("killed");
      spoilt.disk.damage(path, at, 0x10);
      const before = contentOf(spoilt, path).subarray(0, durableEnd);
      const start = spoilt.restarted("killed");
      const error = await openAgain(start).then(
        (store) => store.close(),
        (error: unknown) => error,
      );
      if (error !== undefined) {
        refused++;
        if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
      }
      if (keptEnds(start).length > 0) t.fail(`byte ${at}: something was taken off`);
      const { clean, damage } = await fsck(spoilt, false);
      const isTold = damage.some(({ segment: of, offset, length }) => {
        return of === segment && offset <= at && at < offset + length;
      });
      if (clean || !isTold) t.fail(`byte ${at}: fsck says ${JSON.stringify(damage)}`);
      if (!contentOf(spoilt, path).subarray(0, durableEnd).equals(before)) t.fail(`byte ${at}`);
    }
    t.ok(refused > 50, `${refused} starts were refused`);
  });

  t.test(`a damaged byte behind it is what a crash leaves${which}`, async (t) => {
    const { life, machine, path, durableEnd, end } = await make(moved);
    const states = new Set(life.history.states);
    let kept = 0;
    for (let at = durableEnd; at < end; at += isLong ? 1 : 13) {
      const spoilt = machine.restarted("killed");
      spoilt.disk.damage(path, at, 0x10);
      const report = await fsck(spoilt.restarted("killed"), false);
      const { clean, tornBytes, savedTail } = report;
      if (!clean || tornBytes === 0) t.fail(`byte ${at}: ${JSON.stringify(report)}`);
      if (savedTail !== undefined) kept++;
      const store = await openAgain(spoilt);
      if (!states.has(await pictureOf(store))) t.fail(`byte ${at}: not a state that was`);
      await store.close();
    }
    t.ok(kept > 0, `whole commits stood behind it ${kept} times, and were kept`);
  });
}

t.test("what a power cut leaves of unsynced writes in any order is no damage", async (t) => {
  const { life, machine } = await make(false);
  const allowed = new Set(life.history.allowed(false));
  let torn = 0;
  let kept = 0;
  for (let seed = 1; seed < (isLong ? 3000 : 300); seed++) {
    const report = await fsck(machine.restarted(seed), false);
    if (!report.clean) t.fail(`seed ${seed}: ${report.problems.join()}`);
    if (report.tornBytes > 0) torn++;
    if (report.savedTail !== undefined) kept++;
    const store = await openAgain(machine.restarted(seed));
    if (!allowed.has(await pictureOf(store))) t.fail(`seed ${seed}: not a state that is allowed`);
    await store.close();
  }
  t.ok(torn > 0 && kept > 0, `${torn} torn ends, ${kept} with whole commits in them`);
});

t.test("salvage names the damage, and takes out what is whole behind it", async (t) => {
  const { machine, path, durableEnd } = await make(false);
  const directory = fs.mkdtempSync(join(tmpdir(), "onespool-torn-"));
  t.teardown(() => fs.rmSync(directory, { recursive: true }));
  const source = join(directory, "store");
  const put = (bytes: Buffer): void => {
    fs.rmSync(source, { recursive: true, force: true });
    fs.mkdirSync(join(source, "log"), { recursive: true });
    fs.writeFileSync(join(source, "format"), contentOf(machine, `${STORE}/format`));
    fs.writeFileSync(join(source, "log", "00000001.seg"), bytes);
  };
  const bytes = contentOf(machine, path);
  const offsets: number[] = [];
  scanSegment(bytes, 1, true, ({ offset }) => offsets.push(offset));

  const inSynced = offsets.findLast((offset) => offset < durableEnd) as number;
  const damaged = Buffer.from(bytes);
  damaged.writeUInt8(damaged.readUInt8(inSynced) ^ 1, inSynced);
  put(damaged);
  const found = await salvage(source, join(directory, "new"));
  t.match(found.damage, [{ kind: "record", segment: 1, offset: inSynced }]);

  const behind = offsets.find((offset) => offset >= durableEnd) as number;
  const torn = Buffer.from(bytes);
  torn.writeUInt8(torn.readUInt8(behind) ^ 1, behind);
  put(torn);
  t.same((await salvage(source, join(directory, "newer"))).damage, []);
});
