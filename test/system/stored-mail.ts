/** A store with random mail in a directory of its own, what it must hold, and what tests do to it: damage, copies. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { segmentNumber, segmentPath } from "../../fs/store/paths.ts";
import { Store } from "../../fs/store/store.ts";
import { StoreLoad } from "../store-load.ts";

export interface Tap {
  teardown(done: () => void): unknown;
}

export class StoredMail {
  /** Everything is in here; it goes when the test ends. */
  readonly directory: string;
  readonly store: string;
  readonly load: StoreLoad;
  readonly #segmentLength: number;

  constructor(test: Tap, load: StoreLoad, segmentLength = 32 * 1024) {
    this.directory = fs.mkdtempSync(join(tmpdir(), "onespool-stored-"));
    test.teardown(() => fs.rmSync(this.directory, { recursive: true, force: true }));
    this.store = this.path("store");
    this.load = load;
    this.#segmentLength = segmentLength;
  }

  static async make(test: Tap, seed: number, steps: number, segmentLength?: number) {
    const mail = new StoredMail(test, new StoreLoad(seed), segmentLength);
    await mail.add(steps);
    return mail;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** What a sound copy of the store must hold. */
  get model(): ReadonlyMap<string, Buffer> {
    return this.load.model;
  }

  open(store = this.store): Promise<Store> {
    return Store.open(store, { create: true, segmentLength: this.#segmentLength });
  }

  /** Further mail; nobody may have the store open. */
  async add(steps: number): Promise<void> {
    const opened = await this.open();
    this.load.run(opened, steps);
    await opened.close();
  }

  /** A copy to be damaged; takes the place of an earlier one. */
  copy(name: string, from = this.store): string {
    const to = this.path(name);
    fs.rmSync(to, { recursive: true, force: true });
    fs.cpSync(from, to, { recursive: true });
    return to;
  }
}

/** Numbers of a store's segments, ascending. */
export function segmentsOf(store: string): number[] {
  const names = fs.readdirSync(join(store, "log"));
  return names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b);
}

/** Paths of the segments, in the order of the log. */
export function segmentPathsOf(store: string): string[] {
  return segmentsOf(store).map((segment) => segmentPath(store, segment));
}

export function removeIndex(store: string): void {
  fs.rmSync(join(store, "index"), { recursive: true });
}

/** Names of the files that are not the same in both. */
export function differing(
  a: ReadonlyMap<string, Buffer>,
  b: ReadonlyMap<string, Buffer>,
): string[] {
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].filter((name) => {
    const [one, other] = [a.get(name), b.get(name)];
    return one === undefined || other === undefined || !one.equals(other);
  });
}
