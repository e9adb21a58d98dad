/**
 * Cleaning against a model: random operations with tiny segments, cleaned at random times. After each round the
 * contents are the model's, fsck is clean, and an index that is made anew from the log with gaps equals the one
 * that lived through it, row by row. `ONESPOOL_SEED=n` repeats a run; ONESPOOL_LONG=1 makes it longer.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { checkStore } from "../fs/store/check.ts";
import type { StoreOptions } from "../fs/store/opening.ts";
import { Store } from "../fs/store/store.ts";
import { ReclaimModel } from "./reclaim-model.ts";
import { dump } from "./store-dump.ts";
import { crashCopy } from "./system/crash-copy.ts";

const seed = Number(process.env["ONESPOOL_SEED"] ?? Date.now() % 1_000_000);
const isLong = process.env["ONESPOOL_LONG"] === "1";
const HISTORIES = isLong ? 60 : 6;
const ROUNDS = isLong ? 20 : 8;
t.setTimeout(isLong ? 3_600_000 : 120_000);
t.comment(`seed ${seed}: ONESPOOL_SEED=${seed} repeats this run`);

/** As a store is, but smaller; and one in which most snapshots take several turns of the event loop. */
const tiny: StoreOptions = { segmentLength: 6_000 };
const tinySteps: StoreOptions = { ...tiny, reclaimStep: { extentsMax: 3, stepMs: 0 } };

async function reopened(model: ReclaimModel, options: StoreOptions): Promise<string[]> {
  const { directory } = model.store;
  await model.store.close();
  model.store = await Store.open(directory, options);
  model.check();
  return dump(model.store);
}

/** Cleans in the way that a number tells, and goes on meanwhile. */
async function clean(model: ReclaimModel, how: number): Promise<void> {
  const { store } = model;
  const done = store.reclaim({ now: true, deadPartMin: how % 2 === 0 ? 0 : 0.3 });
  const turns = how * (model.random.below(4) === 0 ? 40 : 3);
  for (let k = 0; k < turns; k++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (turns < 40 || model.random.below(4) === 0) model.step();
  }
  // A stop leaves a batch half done.
  if (how === 3) await store.reclaimer.stop();
  await done;
}

for (let history = 0; history < HISTORIES; history++) {
  t.test(`a store that is cleaned holds what its model holds, history ${history}`, async (t) => {
    const parent = fs.mkdtempSync(join(tmpdir(), "onespool-reclaim-"));
    t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
    const directory = join(parent, "s");
    const options = history % 3 === 0 ? tiny : tinySteps;
    const store = await Store.open(directory, { ...options, create: true });
    const model = new ReclaimModel(store, seed + history);
    let segmentsFreed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (let k = model.random.below(150); k > 0; k--) model.step();
      if (model.random.below(3) === 0) await model.store.checkpoint();
      const { segmentsFreed: before } = model.store.reclaimer.status();
      await clean(model, model.random.below(5));
      segmentsFreed += model.store.reclaimer.status().segmentsFreed - before;
      model.check();
      // A crash in any round: a copy of what is on the disk.
      const copy = join(parent, "copy");
      crashCopy(directory, copy);
      const crashed = await checkStore(copy, {
        rebuildIndex: round % 2 === 0,
        unitsPerPass: 1 + model.random.below(30),
      });
      t.same(crashed.problems, [], `fsck after a crash in round ${round}`);
      fs.rmSync(copy, { recursive: true });
      model.dropOffcuts();
      const lived = await reopened(model, options);
      const rebuilt = await reopened(model, { ...options, rebuildIndex: true });
      t.ok(lived.includes("extents that are not counted: 0"), "extents are counted");
      if (lived.join("\n") !== rebuilt.join("\n")) {
        t.same(rebuilt, lived, `the rebuilt index of round ${round}`);
        await model.store.close();
        return;
      }
      await model.store.close();
      const report = await checkStore(directory);
      t.same(report.problems, [], `fsck after round ${round}`);
      model.store = await Store.open(directory, options);
    }
    t.ok(segmentsFreed > 0, `${segmentsFreed} segments were freed`);
    await model.store.close();
  });
}
