import t from "tap";
import { WHO_PIECES_MAX } from "../fs/hints/limits.ts";
import type { SharedPiece } from "../fs/hints/who.ts";
import { addPieces } from "../fs/hints/who.ts";
import { decodeIoctl, encodeIoctl, HINT_COMMAND, IOCTL_STRUCT_LENGTH } from "../fs/hints/ioctl.ts";
import { noKernelBinding, onespool, onespoolFrom, run } from "./cli-process.ts";
import { ALICE, DELIVERER, exchange, Harness, ROOT_CALLER } from "./hints-harness.ts";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

t.setTimeout(120_000);
let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open();
});
t.afterEach(() => harness.close());

async function pieces(path: string, offset?: number): Promise<readonly SharedPiece[]> {
  const reply = await harness.request({ op: "who", path, offset }, "", ROOT_CALLER);
  t.match(reply, { ok: true });
  return reply["pieces"] as SharedPiece[];
}

t.test("root learns with how many others each part is shared", async (t) => {
  for (const name of ["a", "b", "c"]) harness.fileAt(name);
  const to = ["a", "b", "c"].map((path) => ({ path, privateBytes: 4 }));
  const deliver = { op: "deliver", shared: [{ bytes: 100 }], to };
  t.match(await harness.request(deliver, `${"m".repeat(100)}to ato bto c`), { ok: true });
  const ofA = await pieces("a");
  t.match(ofA, [
    { offset: 0, length: 4, others: 0 },
    { offset: 4, length: 100, others: 2 },
  ]);
  const remove = { op: "remove", path: "b", offset: 10, length: 20 };
  t.match(await harness.request(remove), { ok: true });
  t.match(await pieces("a"), [
    { offset: 0, length: 4, others: 0 },
    { offset: 4, length: 6, others: 2 },
    { offset: 10, length: 20, others: 1 },
    { offset: 30, length: 74, others: 2 },
  ]);
  t.match(await pieces("a", 20), [
    { offset: 20, length: 10, others: 1 },
    { offset: 30, length: 74, others: 2 },
  ]);
  t.strictSame(await pieces("a", 104), []);
});

t.test("nobody else learns anything, not even of his own file", async (t) => {
  harness.fileAt("mine", "text", 0o600, ALICE);
  for (const caller of [ALICE, DELIVERER]) {
    for (const path of ["mine", "missing"]) {
      const reply = await harness.request({ op: "who", path }, "", caller);
      t.strictSame(Object.keys(reply).sort(), ["error", "message", "ok", "path", "reason"]);
      t.match(reply, { ok: false, error: "EPERM", reason: "onlyRoot" });
    }
  }
});

t.test("what is no file is refused", async (t) => {
  harness.directoryAt("d");
  const ask = (fields: object) => harness.request({ op: "who", ...fields });
  t.match(await ask({ path: "d" }), { reason: "notRegular" });
  t.match(await ask({ path: "x" }), { reason: "notFound" });
  t.match(await ask({ path: "x", offset: -1 }), { reason: "badField" });
  t.match(await ask({}), { reason: "badField" });
  t.match(await ask({ path: "x", length: 1 }), { reason: "unknownField" });
});

t.test("a long reply goes on where it ended", async (t) => {
  harness.fileAt("long");
  harness.fileAt("source", "0123456789");
  const ranges = (count: number) =>
    Array.from({ length: count }, (_, k) => ({ path: "source", offset: (k * 2) % 10, length: 1 }));
  for (let count = 0; count < 3; count++) {
    await harness.request({ op: "share", from: ranges(4000), to: { path: "long" } });
  }
  // A step is longer than the file, so that the limit shows only behind it.
  const ino = harness.ino("long");
  for (let count = 0; count < 3; count++) harness.append(ino, "x".repeat(200_000));
  const found: SharedPiece[] = [];
  let replies = 0;
  for (let offset: unknown = 0; offset !== undefined; replies++) {
    const reply = await harness.request({ op: "who", path: "long", offset });
    found.push(...(reply["pieces"] as SharedPiece[]));
    offset = reply["next"];
  }
  t.ok(replies > 1 && found.length > WHO_PIECES_MAX);
  let end = 0;
  for (const piece of found) {
    if (piece.offset !== end) t.fail(`a piece at ${piece.offset}, not at ${end}`);
    end += piece.length;
  }
  t.equal(end, 612_000);
});

t.test("through an ioctl it would not fit", async (t) => {
  harness.fileAt("a", "text");
  const session = harness.session();
  const input = Buffer.alloc(IOCTL_STRUCT_LENGTH);
  const { data } = encodeIoctl(Buffer.from('{"op":"who","path":"a"}\n'));
  data.copy(input);
  const reply = await session.ioctl(HINT_COMMAND, input, IOCTL_STRUCT_LENGTH, ROOT_CALLER);
  if (typeof reply === "number") throw new Error(`${reply}`);
  t.match(String(decodeIoctl(reply.data)), /replyTooLong/);
  session.close();
  t.match(await exchange(harness.session(), { op: "who", path: "a" }), { ok: true });
});

t.test("holes and the ends of units", async (t) => {
  const found: SharedPiece[] = [];
  addPieces(found, 0, { unit: 0, offset: 0, length: 5 }, []);
  addPieces(found, 5, { unit: 0, offset: 0, length: 5 }, []);
  addPieces(found, 10, { unit: 3, offset: 2, length: 4 }, [3, 1, 7, 2]);
  addPieces(found, 14, { unit: 3, offset: 6, length: 4 }, [3, 1, 7, 2]);
  t.strictSame(found, [
    { offset: 0, length: 10, unit: 0, unitOffset: 0, others: 0 },
    { offset: 10, length: 1, unit: 3, unitOffset: 2, others: 0 },
    { offset: 11, length: 7, unit: 3, unitOffset: 3, others: 1 },
  ]);
});

t.test("onespool who", { skip: noKernelBinding() }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-who-"));
  const mountpoint = join(directory, "spool");
  mkdirSync(mountpoint);
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  t.match(await onespool("mount", join(directory, "store"), mountpoint, "--daemon"), { code: 0 });
  t.teardown(() => run("umount", "-i", "-l", mountpoint));
  const boxes = ["a", "b", "c"].map((name) => join(mountpoint, name));
  await onespoolFrom("Subject: x\n\ntext\n", "deliver", "-", ...boxes);
  const { code, stdout } = await onespool("who", boxes[0]!);
  t.equal(code, 0);
  t.match(
    stdout,
    /^offset {2}length {2}unit {2}others\n +0 +\d+ +\d+ +none\n +\d+ +\d+ +\d+ +2\n\nshared /,
  );
  const json = JSON.parse((await onespool("who", boxes[0]!, "--json")).stdout);
  t.match(json, [{ offset: 0, others: 0 }, { others: 2 }]);
  t.match(await onespool("who", directory), { code: 1, stderr: /is in no mounted spool/ });
  t.match(await onespool("who", mountpoint), { code: 1, stderr: /is a directory/ });
  await onespool("umount", mountpoint);
});
