/**
 * Power cuts under a whole spool (power-cuts.ts). Afterwards the store is in a state that it was in, commit by commit,
 * and the whole spool, started, shows what the promises allow, step by step: what was answered to fsync, deliver
 * and O_SYNC, and of what came later a prefix of whole steps. What pends shows once, and nothing is left of files
 * without a name.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isRegular } from "../../fs/attributes.ts";
import { isErrno } from "../../base/errno.ts";
import type { Spool } from "../../fs/spool.ts";
import { type LifeOptions, openAgain } from "./cut-life.ts";
import { pictureOf } from "./naive-store.ts";
import {
  type CutPlan,
  type CutResult,
  type CutSubject,
  cutSubject,
  expectOne,
} from "./power-cuts.ts";
import { openSpool, SpoolLife } from "./spool-life.ts";
import { readBack, seenIn } from "./spool-picture.ts";
import { CALLER, SpoolScene } from "./spool-scene.ts";

export interface SpoolWorkload {
  readonly name: string;
  readonly options?: LifeOptions;
  run(scene: SpoolScene): Promise<void>;
}

export function cutSpoolEverywhere(workload: SpoolWorkload, plan: CutPlan): Promise<CutResult> {
  return cutSubject(spoolUnder(workload), plan);
}

function spoolUnder(workload: SpoolWorkload): CutSubject<SpoolLife> {
  const { options = {} } = workload;
  return {
    name: workload.name,
    options,
    begin: (machine) => new SpoolLife(machine, options),
    run: async (life) => {
      await life.open();
      await workload.run(new SpoolScene(life));
      if (!(await life.agrees())) throw new Error("what is seen is not what was committed");
    },
    allowed: (life, whole, killed) => life.allowed(whole, killed),
    inspect: async (machine, { life }, killed) => {
      const store = await openAgain(machine, options);
      const found = await pictureOf(store);
      await store.close();
      expectOne(found, life.history.allowed(killed), "the store: ");
    },
    goOn: async (machine, told) => {
      const spool = await openSpool(machine, options);
      try {
        told("open");
        const states = [seenIn(await readBack(spool))];
        await expectTidy(spool);
        const scene = new SpoolScene({
          spool,
          reopen: () => Promise.reject(new Error("it stays open")),
          step: async (call) => {
            const result = await call();
            states.push(seenIn(await readBack(spool)));
            return result;
          },
        });
        const name = `probe-${spool.store.inoEnd}`;
        await scene.deliver("mail after the cut;", [name, `${name}-too`]);
        told("durable");
        return states;
      } finally {
        machine.power.cut();
        await spool.close().catch(() => undefined);
      }
    },
    look: async (machine) => {
      const spool = await openSpool(machine, options);
      const state = seenIn(await readBack(spool));
      await expectTidy(spool);
      await spool.close();
      return state;
    },
  };
}

/** What nobody can come back to is dropped, and only what must wait still pends. */
async function expectTidy({ store, operations }: Spool): Promise<void> {
  for (let turn = 0; store.orphans().length > 0; turn++) {
    if (turn === 1000) throw new Error(`left without a name: ${store.orphans().join()}`);
    await nextTurn();
  }
  for (const { parent, name } of store.allPending()) {
    const found = operations.lookup(parent, name, CALLER);
    const isFree = isErrno(found) || isRegular(found.mode);
    if (isFree && store.lookup(parent, `${name}.lock`) === 0) {
      throw new Error(`${name} is free, and mail for it pends`);
    }
  }
}
