/** What the operations on files share: the store, the clock, and whom they tell of changes. */
import type { Time } from "../attributes.ts";
import type { Store } from "../store/store.ts";
import type { Offcuts } from "./offcuts.ts";
import type { Overwrites } from "./overwrites.ts";
import type { Orphans } from "./orphans.ts";

export interface FilesContext {
  readonly store: Store;
  readonly now: () => Time;
  readonly orphans: Orphans;
  /** A name was made, removed or now means another file: a pending delivery may be able to show. */
  readonly nameChanged: (parent: number, name: string) => void;
  /** Whether deliveries wait for names in a directory: mail was acknowledged that must not go with it. */
  readonly hasPendingIn: (directory: number) => boolean;
  readonly overwrites: Overwrites;
  readonly offcuts: Offcuts;
}
