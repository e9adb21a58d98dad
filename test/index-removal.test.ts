/** An index is removed as a whole, also by a process that is killed meanwhile. */
import { cpSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { IndexDb } from "../fs/store/index/index-db.ts";
import { Store } from "../fs/store/store.ts";

t.test("what a removal or a repair left behind does not become the index again", async (t) => {
  const parent = mkdtempSync(join(tmpdir(), "onespool-index-removal-"));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const store = join(parent, "s");
  const path = (name: string): string => join(store, name);
  await (await Store.open(store, { create: true })).close();
  cpSync(path("index"), path("index.new"), { recursive: true });
  renameSync(path("index"), path("index.gone"));
  IndexDb.remove(store);
  t.same(
    readdirSync(store).filter((name) => name.startsWith("index")),
    [],
  );
  const again = await Store.open(store);
  t.ok(again.recovered.bytes > 0, "everything is read from the log");
  await again.close();
  t.ok(existsSync(path("index")));
});
