import t from "tap";
import { appendFileSync, chownSync } from "node:fs";
import { join } from "node:path";
import { noKernelBinding, onespool, run } from "./cli-process.ts";
import {
  corpusMessages,
  importing,
  maildir,
  mboxMessage,
  served,
  site,
  snapshot,
  writeMailbox,
} from "./import-tree.ts";

const skip = noKernelBinding();
const isLong = process.env["ONESPOOL_LONG"] === "1";
t.setTimeout(isLong ? 1_800_000 : 240_000);

const USERS = isLong ? 200 : 20;
const MESSAGES = isLong ? 200 : 60;

async function stat(path: string): Promise<Record<string, number>> {
  return JSON.parse((await onespool("stat", "--json", path)).stdout);
}

t.test(
  "what stands in several mailboxes is stored once, and every byte is as it was",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint, store } = place;
    const messages = corpusMessages().slice(0, MESSAGES);
    for (let user = 0; user < USERS; user++) {
      // Each in an order of its own, with its own status lines.
      const pieces = messages.map((_, index) => {
        const bytes = messages[(index * 7 + user) % messages.length]!;
        const status = (index + user) % 3 === 0 ? "Status: RO\n" : "";
        return mboxMessage(bytes, `user${user}@example.org`, status);
      });
      writeMailbox(join(source, `user${user}`), Buffer.concat(pieces));
      chownSync(join(source, `user${user}`), 20_000 + user, 8);
    }
    const before = await snapshot(source);
    const end = await served(t, place);
    const once = messages.reduce((sum, bytes) => sum + bytes.length, 0);
    const found = await importing("--share", "--json", source, mountpoint);
    t.equal(found.code, 0);
    const told = JSON.parse(found.stdout);
    t.strictSame(await snapshot(mountpoint), before);
    const { logicalBytes, storedBytes, sharedBytes } = await stat(mountpoint);
    t.equal(told.bytes, logicalBytes);
    t.equal(told.messages, USERS * messages.length);
    t.equal(logicalBytes! - storedBytes!, told.sharedBytes, "it tells what was saved");
    // Own header lines, and what is too short to be shared.
    const bound = once * 1.02 + 250 * USERS * messages.length;
    t.ok(
      storedBytes! <= bound,
      `${storedBytes} of ${logicalBytes} stored; at most ${Math.round(bound)}`,
    );
    t.ok(sharedBytes! > 0.8 * once, `${sharedBytes} of ${once} are shared`);
    t.comment(JSON.stringify({ once, logicalBytes, storedBytes, sharedBytes }));

    // A later run shares with what the earlier ones brought, and takes only what is new.
    const more = corpusMessages().at(-1)!;
    for (let user = 0; user < 5; user++) {
      appendFileSync(join(source, `user${user}`), mboxMessage(more, `user${user}`));
    }
    const name = join(source, "late");
    writeMailbox(name, Buffer.concat(messages.map((bytes) => mboxMessage(bytes, "late"))));
    const second = await importing("--share", "--json", source, mountpoint);
    t.match(JSON.parse(second.stdout), { taken: 1, updated: 5, unchanged: USERS - 5 });
    const after = await stat(mountpoint);
    const grown = after["storedBytes"]! - storedBytes!;
    t.ok(grown < more.length + 250 * (messages.length + 5) + once * 0.02, `${grown} bytes more`);
    t.strictSame(await snapshot(mountpoint), await snapshot(source));
    await end();
    t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
  },
);

t.test(
  "without --share nothing is shared; maildirs and files share with each other",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint } = place;
    await served(t, place);
    const messages = corpusMessages().slice(0, 20);
    const bytes = Buffer.concat(messages.map((message) => mboxMessage(message, "u")));
    writeMailbox(join(source, "a"), bytes);
    writeMailbox(join(source, "b"), bytes);
    const names = messages.map((message, index) => [`cur/${index + 1}.h:2,S`, message] as const);
    maildir(join(source, "m"), new Map(names));
    const apart = join(mountpoint, "apart");
    t.match(await importing(source, apart), { code: 0 });
    t.equal((await stat(mountpoint))["sharedBytes"], 0);
    const together = join(mountpoint, "together");
    t.match(await importing("--share", source, together), {
      code: 0,
      stdout: /\nshared: [\d,]+ bytes/,
    });
    for (const name of ["a", "b", "m"]) {
      t.equal((await run("cmp", join(apart, name), join(together, name))).code, 0, name);
    }
    const b = await stat(join(together, "b"));
    t.ok(b["sharedBytes"]! > 0.85 * bytes.length, `${b["sharedBytes"]} of ${bytes.length}`);
    const body = messages.reduce((sum, m) => sum + m.length - m.indexOf("\n\n"), 0);
    const m = await stat(join(together, "m"));
    t.ok(m["sharedBytes"]! > 0.5 * body, `${m["sharedBytes"]} of ${body}`);
  },
);

t.test("only root may ask for it", { skip }, async (t) => {
  const { source, store, directory } = site(t);
  await run("chmod", "755", directory);
  const script = 'exec setpriv --reuid 65534 --clear-groups "$@"';
  const args = [process.execPath, process.argv[1]!.replace(/test\/[^/]*$/, "cli/onespool.js")];
  const { code, stderr } = await run(
    "sh",
    "-c",
    script,
    "-",
    ...args,
    "import",
    "--share",
    source,
    store,
  );
  t.equal(code, 2);
  t.match(stderr, "--share: only root may compare mailboxes of different owners");
});
