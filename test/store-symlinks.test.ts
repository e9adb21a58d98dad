/** Whoever opens a store that is another user's, as root may with fsck or stat, writes to nothing outside of it. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { writeMountpoint } from "../cli/paths.ts";
import { backup } from "../fs/backup/backup.ts";
import { salvage } from "../fs/salvage/salvage.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";

const CONTENT = Buffer.alloc(100, "somebody else's\n");

interface Place {
  readonly store: string;
  readonly victim: string;
}

async function make(test: Pick<typeof t, "teardown">): Promise<Place> {
  const place = fs.mkdtempSync(join(tmpdir(), "onespool-symlinks-"));
  test.teardown(() => fs.rmSync(place, { recursive: true, force: true }));
  const store = join(place, "store");
  await (await Store.open(store, { create: true })).close();
  const victim = join(place, "victim");
  fs.writeFileSync(victim, CONTENT);
  return { store, victim };
}

for (const name of ["lock", "log/00000001.seg"]) {
  t.test(`a symbolic link as ${name} of a store is not written through`, async (t) => {
    const { store, victim } = await make(t);
    fs.rmSync(join(store, name));
    fs.symlinkSync(victim, join(store, name));
    await t.rejects(checkStore(store), { code: "STORE_IO" });
    t.ok(fs.readFileSync(victim).equals(CONTENT));
  });
}

t.test(
  "a symbolic link as the file that names the mount point is not written through",
  async (t) => {
    const { store, victim } = await make(t);
    fs.symlinkSync(victim, join(store, "mountpoint"));
    t.throws(() => writeMountpoint(store, "/mnt"), { code: "ELOOP" });
    t.ok(fs.readFileSync(victim).equals(CONTENT));
  },
);

const skip = process.geteuid?.() === 0 ? false : "only root can make what another user owns";

t.test("another user's link to another store is not followed", { skip }, async (t) => {
  for (const name of ["log", "index"]) {
    const mine = await make(t);
    const theirs = await make(t);
    const link = join(theirs.store, name);
    fs.rmSync(link, { recursive: true });
    fs.symlinkSync(join(mine.store, name), link);
    fs.lchownSync(link, 65_534, 65_534);
    const refused = {
      code: "STORE_FORMAT",
      message: new RegExp(`${link} is a symbolic link of user 65534`),
    };
    await t.rejects(checkStore(theirs.store), refused);
    await t.rejects(Store.open(theirs.store), refused);
    await t.rejects(backup(theirs.store, join(theirs.victim, "backup")), refused);
    await t.rejects(salvage(theirs.store, join(theirs.victim, "salvaged")), refused);
    fs.lchownSync(link, 0, 0);
    await (await Store.open(theirs.store)).close();
  }
});

t.test("a store without its log says what is to be done", async (t) => {
  const { store } = await make(t);
  fs.renameSync(join(store, "log"), join(store, "elsewhere"));
  const refused = { code: "STORE_DAMAGED", message: /no directory "log".*bring it back/ };
  await t.rejects(Store.open(store), refused);
  await t.rejects(checkStore(store), refused);
  t.notOk(fs.existsSync(join(store, "log")), "none is made");
  fs.renameSync(join(store, "elsewhere"), join(store, "log"));
  t.same((await checkStore(store)).problems, []);
});
