/**
 * Who has a lock sees the end of the mailbox, whatever else the kernel notes on its inode meanwhile: it drops the
 * attributes of a reply when a write has ended since it asked, and the herald writes at any time.
 */
import { fileURLToPath } from "node:url";
import t from "tap";
import type { Program } from "./suite/program.ts";
import { Harness, needs } from "./system/harness.ts";

const timeout = 120_000;
t.setTimeout(3 * timeout);
const preload = fileURLToPath(new URL("./system/hasty-herald.js", import.meta.url));
const isLong = process.env["ONESPOOL_LONG"] === "1";
const MESSAGES = isLong ? 6_000 : 1_200;
const EXPUNGED = MESSAGES / 3;

/** In several calls: each has a limit of its own. */
async function expunge(program: Program, box: string, kind: string): Promise<Buffer[]> {
  const removed: Buffer[] = [];
  while (removed.length < EXPUNGED) {
    const count = Math.min(100, EXPUNGED - removed.length);
    removed.push(...((await program.call("expunge_under_lock", box, kind, count)) as Buffer[]));
  }
  return removed;
}

for (const kind of ["fcntl", "flock", "dotlock"]) {
  t.test(`${kind}: nothing is cut off that was delivered`, needs("kernel", timeout), async (t) => {
    const harness = await Harness.start(t, {
      binding: "kernel",
      nodeOptions: ["--import", preload],
    });
    const program = harness.program();
    const box = harness.path("box");
    await program.writeFile(box, "");
    const expunging = expunge(harness.program(), box, kind);
    const hints = await harness.hints(program);
    const sent: string[] = [];
    for (let k = 0; k < MESSAGES; k++) {
      const message = `message ${k} ${"x".repeat((k * 97) % 800)}\n`;
      sent.push(message);
      const half = Buffer.from(message.slice(0, 20));
      const rest = Buffer.from(message.slice(20));
      const reply = await hints.deliver(rest, [{ path: "box", private: half }]);
      if (!reply.ok) t.fail(JSON.stringify(reply));
    }
    const removed = (await expunging).map((line) => line.toString("latin1"));
    t.equal(removed.length, EXPUNGED);
    const left = (await program.text(box)).split(/(?<=\n)/);
    const found = new Set([...removed, ...left]);
    t.same(
      sent.filter((message) => !found.has(message)).map((message) => message.slice(0, 12)),
      [],
      "what is missing",
    );
    t.equal([...removed, ...left].length, sent.length, "nothing else is there");
  });
}
