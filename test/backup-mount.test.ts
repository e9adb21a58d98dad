/**
 * Backups of a mounted store while mail comes and goes: the restored store is what the mount held at a moment since
 * the backup began, and everything acknowledged before that is in it.
 */
import { ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { onespool } from "./cli-process.ts";
import { readStore } from "./store-load.ts";
import { Harness, needs } from "./system/harness.ts";
import { bindings } from "./system/mount.ts";

const timeout = 150_000;
t.setTimeout(2 * timeout);

const boxes = ["box-0", "box-1", "box-2", "box-3", "box-4"];
const rounds = process.env["ONESPOOL_LONG"] === "1" ? 12 : 3;
/** Large enough that segments change during the test. */
const messageLength = 400_000;
const messagesPerBackup = 130;

function message(round: number): Buffer {
  return Buffer.alloc(messageLength, `message ${round} `, "latin1");
}

for (const binding of bindings) {
  await t.test(binding, needs(binding, timeout), async (t) => {
    const harness = await Harness.start(t, { binding });
    const directory = mkdtempSync(join(tmpdir(), "onespool-backup-"));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const place = join(directory, "backups");
    const program = harness.program();
    for (const box of boxes) await program.writeFile(harness.path(box), "");
    const hints = await harness.hints(program);
    const to = boxes.map((path) => ({ path, private: Buffer.from("From you\n") }));
    let delivered = 0;
    let running: Promise<unknown> | undefined;
    /** For each backup, what was acknowledged when it began and when it had ended. */
    const limits: { readonly from: number; to: number }[] = [];
    const copied: number[] = [];
    while (limits.length < rounds || running !== undefined) {
      ok((await hints.deliver(message(delivered), to)).ok);
      delivered++;
      // A file of this message alone, which goes away again three messages later.
      await program.writeFile(harness.path(`only-${delivered}`), `${delivered}`);
      if (delivered > 3) await program.unlink(harness.path(`only-${delivered - 3}`));
      if (running !== undefined || delivered % messagesPerBackup !== 0) continue;
      const limit = { from: delivered, to: Number.POSITIVE_INFINITY };
      limits.push(limit);
      running = onespool("backup", harness.mount.store, place, "--json").then((ended) => {
        t.match(ended, { code: 0, stderr: "" });
        copied.push((JSON.parse(ended.stdout) as { copiedBytes: number }).copiedBytes);
        // The message that is under way may be in it.
        limit.to = delivered + 1;
        running = undefined;
      });
    }
    t.ok(copied.at(-1)! < delivered * messageLength, "sealed segments are not copied again");
    for (const [k, { from, to }] of limits.entries()) {
      const restored = join(directory, `restored-${k}`);
      const ended = await onespool("restore", place, restored, "--backup", `${k + 1}`);
      t.match(ended, { code: 0, stderr: "" });
      const found = await readStore(restored);
      const length = found.get("box-0")!.length;
      const count = length / ("From you\n".length + messageLength);
      t.ok(count >= from && count <= to, `backup ${k + 1}: ${from} <= ${count} <= ${to}`);
      const expected = Buffer.concat(
        Array.from({ length: count }, (_, round) => [
          Buffer.from("From you\n"),
          message(round),
        ]).flat(),
      );
      for (const box of boxes) t.ok(found.get(box)!.equals(expected), `backup ${k + 1}, ${box}`);
      const only = [...found.keys()].filter((name) => name.startsWith("only-"));
      // Between a delivery and its file, or a file and the removal of an earlier one, are moments of their own.
      t.ok(only.length >= 2 && only.length <= 4, `${only.join(" ")} beside message ${count}`);
      for (const name of only)
        t.ok(Number(name.slice(5)) > count - 4 && Number(name.slice(5)) <= count);
      t.match(await onespool("fsck", restored), { code: 0 });
      rmSync(restored, { recursive: true });
    }
    await program.end();
  });
}
