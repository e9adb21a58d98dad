/** Out again: the mailboxes are ordinary files, and cp(1) and rsync(1) bring all of them along. */
import t from "tap";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { noKernelBinding, onespool, run } from "./cli-process.ts";
import { importing, oddTree, served, site, snapshot } from "./import-tree.ts";

const skip = noKernelBinding();
t.setTimeout(240_000);

t.test("cp -a takes a spool out and back with all that it has", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, directory, store } = place;
  await oddTree(source);
  const before = await snapshot(source);
  const end = await served(t, place);
  t.match(await importing("--share", source, mountpoint), { code: 0 });
  const out = join(directory, "out");
  mkdirSync(out);
  t.match(await run("cp", "-a", `${mountpoint}/.`, out), { code: 0, stderr: "" });
  t.strictSame(await snapshot(out), before);
  const back = join(mountpoint, "back");
  t.match(await run("cp", "-a", `${out}/.`, back), { code: 0, stderr: "" });
  t.strictSame(await snapshot(back), before);
  // And what was taken out can be imported again.
  const again = join(mountpoint, "again");
  // cp(1) has read it.
  const outside = await snapshot(out);
  t.match(await importing(out, again), { code: 0 });
  t.strictSame(await snapshot(again), outside);
  const sparse = await onespool("stat", "--json", join(mountpoint, "sparse"));
  t.match(JSON.parse(sparse.stdout), { logicalBytes: 3 << 20, storedBytes: 0 });
  await end();
  t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
});

const noRsync = (await run("sh", "-c", "command -v rsync")).code === 0 ? skip : "rsync is missing";

t.test("so does rsync -aHX", { skip: skip || noRsync }, async (t) => {
  const place = site(t);
  const { source, mountpoint, directory } = place;
  await oddTree(source);
  await served(t, place);
  t.match(await importing(source, mountpoint), { code: 0 });
  const out = join(directory, "out");
  t.match(await run("rsync", "-aHXU", `${mountpoint}/`, `${out}/`), { code: 0 });
  t.strictSame(await snapshot(out), await snapshot(source));
  const second = await run("rsync", "-aHXUi", `${mountpoint}/`, `${out}/`);
  t.match(second, { code: 0, stdout: "" });
});
