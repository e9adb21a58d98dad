/** Power cuts under a store (power-cuts.ts): its states are all that it holds. */
import { Life, type LifeOptions, newFile, openAgain } from "./cut-life.ts";
import { pictureOf } from "./naive-store.ts";
import { type CutPlan, type CutResult, type CutSubject, cutSubject } from "./power-cuts.ts";

export interface Workload {
  readonly name: string;
  readonly options?: LifeOptions;
  /** Whether the store is there before the first point. */
  readonly isMade?: boolean;
  run(life: Life): Promise<void>;
}

export function cutEverywhere(workload: Workload, plan: CutPlan): Promise<CutResult> {
  return cutSubject(storeUnder(workload), plan);
}

function storeUnder(workload: Workload): CutSubject<Life> {
  const { options = {} } = workload;
  return {
    ...workload,
    begin: (machine) => new Life(machine, options),
    run: async (life) => {
      await life.open();
      await workload.run(life);
    },
    allowed: ({ history }, _whole, killed) => history.allowed(killed),
    goOn: async (machine, told) => {
      const store = await openAgain(machine, options);
      try {
        told("open");
        const found = await pictureOf(store);
        const ino = store.newIno();
        const unit = store.writeUnit([Buffer.from("after the cut")]);
        const extents = [{ unit, offset: 0, length: 13 }];
        store.commit([
          ...newFile(ino, `probe-${ino}`),
          { type: "splice", ino, offset: 0, remove: 0, extents },
        ]);
        await store.durable();
        told("durable");
        return [found, await pictureOf(store)];
      } finally {
        machine.power.cut();
        await store.close().catch(() => undefined);
      }
    },
    look: async (machine) => {
      const store = await openAgain(machine, options);
      const state = await pictureOf(store);
      await store.close();
      return state;
    },
  };
}
