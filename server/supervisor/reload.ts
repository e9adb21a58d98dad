/** What a reload may change. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/config.ts";

/** What a running server has bound, mounted and become; it takes a restart to change. */
const FIXED = ["listen", "spool", "user", "metrics"] as const;

export interface Reloaded {
  /** The new one, with what is fixed as it was. */
  readonly config: Config;
  /** Names of what would have changed. */
  readonly needRestart: readonly string[];
}

export function reloaded(running: Config, read: Config): Reloaded {
  const { listen, spool, user, metrics } = running;
  const needRestart = FIXED.filter((name) => !isDeepStrictEqual(running[name], read[name]));
  return { config: { ...read, listen, spool, user, metrics }, needRestart };
}
