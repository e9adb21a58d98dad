import t from "tap";
import { mkdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { MESSAGE_BYTES_MAX } from "../cli/import/maildir-message.ts";
import { noKernelBinding, run } from "./cli-process.ts";
import { importing, maildir, served, site, userMailbox, writeMailbox } from "./import-tree.ts";

const skip = noKernelBinding();
// Each step is a process of its own, which takes its time on a busy machine.
t.setTimeout(240_000);

const when = new Date("2020-01-02T03:04:05Z");

function oneMessage(path: string, subject: string): void {
  maildir(path, new Map([["cur/5.h:2,S", Buffer.from(`Subject: ${subject}\n\ntext\n`)]]));
  for (const part of ["cur", "new"]) utimesSync(join(path, part), when, when);
}

async function subjectsOf(path: string): Promise<string[]> {
  const { stdout } = await run("timeout", "20", "cat", path);
  return stdout.match(/(?<=^Subject: ).*$/gm) ?? [];
}

t.test("of two sources for one mailbox the second one is refused", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  const root = join(source, "root");
  oneMessage(root, "root");
  oneMessage(join(root, ".INBOX"), "inbox");
  oneMessage(join(root, ".A"), "dot");
  oneMessage(join(root, "A"), "plain");
  const tree = join(source, "tree");
  mkdirSync(join(tree, "al.folders"), { recursive: true });
  oneMessage(join(tree, "al"), "al");
  oneMessage(join(tree, "al/.X"), "folder");
  writeMailbox(join(tree, "al.folders/X"), userMailbox(1, 2));

  // Everything looks the same from outside: number of messages and times.
  for (let round = 0; round < 2; round++) {
    const first = await importing("--json", root, join(mountpoint, "root"));
    t.equal(first.code, 1);
    t.match(first.stderr, ".INBOX: would be INBOX in the spool, as ");
    t.match(JSON.parse(first.stdout), {
      taken: round === 0 ? 2 : 0,
      updated: 0,
      skipped: [
        { path: ".INBOX", reason: "refused" },
        { path: "A", reason: "refused", text: "would be A in the spool, as .A is; not taken" },
      ],
    });
    t.strictSame(await subjectsOf(join(mountpoint, "root/INBOX")), ["root"]);
    t.strictSame(await subjectsOf(join(mountpoint, "root/A")), ["dot"]);

    const second = await importing("--json", tree, join(mountpoint, "tree"));
    t.equal(second.code, 1);
    t.match(JSON.parse(second.stdout).skipped, [{ path: "al.folders/X", reason: "refused" }]);
    t.strictSame(await subjectsOf(join(mountpoint, "tree/al.folders/X")), ["folder"]);
  }

  rmSync(join(root, ".A"), { recursive: true });
  const later = await importing("--json", root, join(mountpoint, "root"));
  t.match(JSON.parse(later.stdout), {
    skipped: [{ path: ".INBOX" }, { path: "A", reason: "refused", text: /from another source/ }],
  });
  t.strictSame(await subjectsOf(join(mountpoint, "root/A")), ["dot"], "it is gone in the source");
});

t.test("a source with several names may lose one of them", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  writeMailbox(join(source, "one"), userMailbox(1, 2));
  await run("ln", join(source, "one"), join(source, "two"));
  t.equal((await importing(source, mountpoint)).code, 0);
  renameSync(join(source, "one"), join(source, "three"));
  const again = await importing("--json", source, mountpoint);
  t.equal(again.code, 0);
  t.match(JSON.parse(again.stdout), { hardLinks: 1, skippedCount: 0 });
});

t.test(
  "a name that the top of a spool reserves is refused, and the others come in",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint } = place;
    await served(t, place);
    for (const name of [".onespool", "bob"]) writeMailbox(join(source, name), userMailbox(1, 2));
    mkdirSync(join(source, ".onespool-herald"));
    const first = await importing("--json", source, mountpoint);
    t.equal(first.code, 1);
    t.match(
      first.stderr,
      "/.onespool: the top directory of a spool cannot have this name; not taken",
    );
    t.match(JSON.parse(first.stdout), {
      taken: 1,
      skipped: [
        { path: ".onespool", reason: "refused" },
        { path: ".onespool-herald", reason: "refused" },
      ],
    });
    const below = await importing("--json", source, join(mountpoint, "below"));
    t.equal(below.code, 0, "only the top directory reserves them");
    t.match(JSON.parse(below.stdout), { taken: 2, skippedCount: 0 });
  },
);

t.test(
  "a message of a maildir that is too long is named, and nothing of it taken",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint } = place;
    await served(t, place);
    for (const name of ["large", "limit"]) oneMessage(join(source, name), name);
    await run("truncate", "-s", `${MESSAGE_BYTES_MAX + 1}`, join(source, "large/new/7.h"));
    await run("truncate", "-s", `${MESSAGE_BYTES_MAX}`, join(source, "limit/new/7.h"));
    const first = await importing("--json", source, mountpoint);
    t.equal(first.code, 1);
    const text = "its message 7.h has more than 64 MiB; not taken";
    t.match(JSON.parse(first.stdout), {
      taken: 1,
      skipped: [{ path: "large", reason: "failed", text }],
    });
    t.equal((await run("ls", "-A", mountpoint)).stdout, "limit\n");
  },
);
