/** What `onespool stat` tells of where space goes (docs/SPACE.md): each number, in a case where it is not zero. */
import { constants, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { onespool } from "./cli-process.ts";
import { F_SETLK, F_UNLCK, F_WRLCK } from "./suite/linux.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import { sourcePath } from "./system/source.ts";

const timeout = 120_000;
t.setTimeout(2 * timeout);

type Found = Readonly<Record<string, number>>;

async function statOf(harness: Harness): Promise<Found> {
  const { code, stdout, stderr } = await onespool("stat", "--json", harness.mount.mountpoint);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Found;
}

/** What is let go of is gone a moment later. */
function becomes(harness: Harness, key: string, value: number): Promise<void> {
  return eventually(`${key} is ${value}`, async () => (await statOf(harness))[key] === value);
}

function text(length: number, seed: string): Buffer {
  let all = "";
  for (let k = 0; all.length < length; k++) all += `${seed} line ${k}\n`;
  return Buffer.from(all.slice(0, length));
}

/** Sizes of the files of one directory of the store. */
function sizes(harness: Harness, directory: string, end = ""): number {
  const path = join(harness.mount.store, directory);
  let bytes = 0;
  for (const name of readdirSync(path)) {
    if (name.endsWith(end)) bytes += statSync(join(path, name)).size;
  }
  return bytes;
}

await t.test("stat", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const program = harness.program();
  const hints = await harness.hints(program);
  const create = { mode: 0o600, uid: 0, gid: 0 };
  const box = harness.path("box-1");

  await t.test(
    "stored and shared bytes are counted once, names and maps by their weights",
    async (t) => {
      const before = await statOf(harness);
      t.match(before, { logicalBytes: 0, storedBytes: 0, sharedBytes: 0, liveMetadataBytes: 64 });
      const to = ["box-1", "box-2", "box-3"].map((path) => ({
        path,
        private: Buffer.from(`From ${path}\n`),
        create,
      }));
      t.match(await hints.deliver(text(10_000, "mail"), to), { ok: true });
      const found = await statOf(harness);
      const own = "From box-1\n".length;
      t.match(found, {
        logicalBytes: 3 * (10_000 + own),
        storedBytes: 10_000 + 3 * own,
        sharedBytes: 10_000,
        deadBytes: 0,
        files: 3,
        directories: 1,
      });
      const names = 3 * (24 + "box-1".length);
      const inodes = 4 * 64;
      const extents = 3 * 2 * 8;
      t.equal(found["liveMetadataBytes"], 40 * found["units"]! + inodes + names + extents);
      await program.call("os.setxattr", box, "user.note", Buffer.from("12345"));
      await program.call("os.symlink", "box-1", harness.path("link"));
      const more = (await statOf(harness))["liveMetadataBytes"]!;
      const attributes = "user.note".length + 5 + "box-1".length;
      t.equal(more - found["liveMetadataBytes"]!, attributes + 64 + 24 + "link".length);
    },
  );

  await t.test("what was deleted and is still open is told until it is closed", async (t) => {
    const path = harness.path("gone");
    await program.writeFile(path, text(70_000, "gone"));
    const dead = (await statOf(harness))["deadBytes"]!;
    const fd = await program.open(path);
    await program.unlink(path);
    t.match(await statOf(harness), { deletedOpenBytes: 70_000, deadBytes: dead });
    await program.close(fd);
    await becomes(harness, "deletedOpenBytes", 0);
    t.equal((await statOf(harness))["deadBytes"], dead + 70_000, "then its bytes are dead");
  });

  await t.test(
    "what is cut off a file that is being written is told until it is closed",
    async (t) => {
      const path = harness.path("anew");
      const bytes = text(20_000, "anew");
      await program.writeFile(path, bytes);
      const { storedBytes, deadBytes } = await statOf(harness);
      const fd = await program.open(path, constants.O_RDWR);
      await program.call("os.ftruncate", fd, 0);
      t.match(await statOf(harness), { cutOffBytes: 20_000, deadBytes });
      await program.write(fd, bytes.subarray(0, 15_000));
      await program.call("os.fsync", fd);
      t.match(await statOf(harness), { cutOffBytes: 20_000, storedBytes, deadBytes }, "shared");
      await program.close(fd);
      await becomes(harness, "cutOffBytes", 0);
      t.match(await statOf(harness), {
        storedBytes: storedBytes! - 5_000,
        deadBytes: deadBytes! + 5_000,
      });
    },
  );

  await t.test("deliveries that wait for a lock are told", async (t) => {
    const fd = await program.open(box, constants.O_RDWR);
    await program.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
    const { size } = await program.fstat(fd);
    const other = harness.program();
    const to = [{ path: "box-1", private: Buffer.from("1234567") }];
    t.match(await (await harness.hints(other)).deliver(text(1_000, "late"), to), { ok: true });
    const found = await statOf(harness);
    t.match(found, { pendingBytes: 1_007, pending: 1, pendingNames: 1 });
    t.ok(found["oldestPendingSeconds"]! >= 0);
    await program.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
    await becomes(harness, "pending", 0);
    t.match(await statOf(harness), { pendingBytes: 0, pending: 0, pendingNames: 0 });
    // What has pended shows a moment after it is in the mailbox.
    const grown = async () => (await program.fstat(fd)).size > size;
    await eventually("it shows", grown);
    t.equal((await program.fstat(fd)).size, size + 1_007);
    await program.close(fd);
  });

  await t.test("what was sent ahead and is in no file yet is told", async (t) => {
    const { storedBytes, deadBytes } = await statOf(harness);
    const reply = await hints.request({ op: "write", lengths: [3_000, 500] }, text(3_500, "unit"));
    const [one, two] = reply["units"] as [string, string];
    t.match(await statOf(harness), { unlinkedBytes: 3_500, storedBytes });
    const shared = [{ unit: one }];
    const taken = { op: "deliver", shared, to: [{ path: "box-2", privateBytes: 0 }] };
    t.match(await hints.request(taken), { ok: true });
    t.match(await statOf(harness), { unlinkedBytes: 500, storedBytes: storedBytes! + 3_000 });
    t.match(await hints.request({ op: "forget", units: [two] }), { ok: true });
    const found = await statOf(harness);
    t.match(found, { unlinkedBytes: 0, storedBytes: storedBytes! + 3_000 });
    t.ok(found["deadBytes"]! >= deadBytes! + 500);
  });

  await t.test("segments, index and reserve are as large as their files", async (t) => {
    await eventually("the reserve is whole", async () => {
      const { reserveBytes = 0 } = await statOf(harness);
      return reserveBytes >= 4 << 20;
    });
    const found = await statOf(harness);
    t.equal(found["segmentBytes"], sizes(harness, "log", ".seg"));
    t.equal(found["indexBytes"], sizes(harness, "index"));
    t.ok(found["indexBytes"]! > 0);
    t.equal(found["reserveBytes"], statSync(join(harness.mount.store, "reserve")).size);
    t.equal(found["tornBytes"], 0);
  });

  await t.test("what a start took off the log is told until it is removed", async (t) => {
    await program.mkdir(harness.path("before"));
    const middle = (await statOf(harness))["indexLagBytes"]! + 32;
    await program.mkdir(harness.path("damaged"));
    await program.mkdir(harness.path("behind"));
    await program.call("os.sync");
    await harness.mount.kill();
    const log = join(harness.mount.store, "log");
    const segment = join(log, "00000001.seg");
    const bytes = readFileSync(segment);
    bytes[middle + 20]! ^= 1;
    writeFileSync(segment, bytes);
    await harness.mount.serve();
    const kept = readdirSync(log).filter((name) => name.includes(".cut-at-"));
    t.equal(kept.length, 1);
    const path = join(log, kept[0]!);
    t.ok(statSync(path).size > 0);
    t.equal((await statOf(harness))["tornBytes"], statSync(path).size);
    rmSync(path);
    t.equal((await statOf(harness))["tornBytes"], 0);
  });

  await t.test("every line of docs/SPACE.md is one that is printed", async (t) => {
    const page = readFileSync(sourcePath("docs/SPACE.md"), "utf8");
    const [, table = ""] = page.split("| line | what it is, and when it goes |\n");
    const documented = [...table.split("\n\n")[0]!.matchAll(/^\| ([a-z][^|]*) \|/gm)];
    const lines = documented.flatMap(([, cell]) =>
      // Two lines that are explained together.
      cell === "index, reserve" ? cell.split(", ") : [cell!],
    );
    t.equal(lines.length, 13);
    const { stdout } = await onespool("stat", harness.mount.mountpoint);
    const printed = stdout.split("\n").map((line) => line.trimStart());
    for (const line of lines) {
      t.ok(
        printed.some((each) => each.startsWith(`${line} `)),
        line,
      );
    }
  });
});
