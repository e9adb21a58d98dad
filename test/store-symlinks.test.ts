/** Whoever opens a store that is another user's, as root may with fsck or stat, writes to nothing outside of it. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { writeMountpoint } from "../cli/paths.ts";
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
