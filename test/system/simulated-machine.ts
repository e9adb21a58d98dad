/**
 * A machine with a simulated disk and index under a store, that can lose its power at any point, or only the
 * process (`killed`). A choice says what is left of that which was not on stable storage.
 */
import type { StoreMedium } from "../../fs/store/opening.ts";
import { randomFrom } from "../movers.ts";
import type { NameFate } from "./simulated-directory.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import type { FileFate } from "./simulated-file.ts";
import { SimulatedIndexKind } from "./simulated-index.ts";
import { SimulatedPower } from "./simulated-power.ts";

interface Fates {
  readonly names: NameFate;
  readonly files: FileFate;
  /** Whether a batch of the index that was being written is there; one that was being removed is gone then. */
  readonly index: boolean;
}

const FATES = {
  /** Nothing that was not durable is there. */
  dropped: { names: "dropped", files: "dropped", index: false },
  /** All of it is. */
  kept: { names: "kept", files: "kept", index: true },
  /** Names, and of the files what was durable. */
  names: { names: "kept", files: "dropped", index: false },
  /** What is in files, and no new names. */
  contents: { names: "dropped", files: "kept", index: true },
  /** Names and sizes, and zeros. */
  sizes: { names: "kept", files: "sizes", index: false },
  /** All, but of each file the last change in half. */
  torn: { names: "kept", files: "torn", index: true },
  /** Of each file the last change only. */
  reordered: { names: "kept", files: "reordered", index: false },
} as const satisfies Record<string, Fates>;

/**
 * What is left. "killed": the process is dead, the machine goes on, and all is there (a later power cut may still drop
 * it). A number is a seed, by which each change, sector and name is there or not.
 */
export type CutChoice = "killed" | keyof typeof FATES | number;

export const CUT_CHOICES: readonly CutChoice[] = [
  "killed",
  ...(Object.keys(FATES) as (keyof typeof FATES)[]),
];

export class SimulatedMachine implements StoreMedium {
  readonly power: SimulatedPower;
  readonly disk: SimulatedDisk;
  readonly indexKind: SimulatedIndexKind;

  /** A new machine with an empty disk; `cutAt` is the point at which the power goes. */
  constructor(
    cutAt = Infinity,
    power = new SimulatedPower(cutAt),
    disk = new SimulatedDisk(power),
    indexKind = new SimulatedIndexKind(power),
  ) {
    this.power = power;
    this.disk = disk;
    this.indexKind = indexKind;
  }

  /** A machine as a restart finds it; this one stays as it is, off. */
  restarted(choice: CutChoice, cutAt = Infinity): SimulatedMachine {
    const power = new SimulatedPower(cutAt);
    const on = (disk: SimulatedDisk, index: SimulatedIndexKind): SimulatedMachine =>
      new SimulatedMachine(cutAt, power, disk, index);
    if (choice === "killed") {
      return on(this.disk.afterKill(power), this.indexKind.afterCut(power, true, "nothing"));
    }
    if (typeof choice === "number") {
      const random = randomFrom(choice);
      const removal = random() < 0.3 ? "damage" : random() < 0.5 ? "nothing" : "everything";
      const index = this.indexKind.afterCut(power, random() < 0.5, removal);
      return on(this.disk.afterCut(power, random() < 0.3 ? "kept" : random, random), index);
    }
    const { names, files, index } = FATES[choice];
    const removal = index ? "nothing" : "everything";
    return on(
      this.disk.afterCut(power, names, files),
      this.indexKind.afterCut(power, index, removal),
    );
  }
}
