/** Keys that the file has and the server does not know: most are slips, and a limit that is not set is none. */
import type { Path } from "./toml.ts";

export interface UnknownKey {
  readonly path: Path;
  readonly text: string;
}

const DISTANCE_MAX = 3;

/** Levenshtein's: how many characters must be added, removed or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The one with the fewest slips, else those of which the key is the begin or the end. */
function nearest(key: string, allowed: readonly string[]): readonly string[] {
  if (key.length > 64) return [];
  const spelled = key.toLowerCase().replaceAll("-", "_");
  const most = Math.min(DISTANCE_MAX, Math.floor(key.length / 2));
  let found: string | undefined;
  let least = most + 1;
  for (const each of allowed) {
    const away = distance(spelled, each);
    if (away < least) [found, least] = [each, away];
  }
  if (found !== undefined) return [found];
  return allowed.filter((each) => each.startsWith(`${spelled}_`) || each.endsWith(`_${spelled}`));
}

function advice(
  table: string,
  key: string,
  allowedKeys: ReadonlyMap<string, readonly string[]>,
): string {
  const allowed = allowedKeys.get(table) ?? [];
  const near = nearest(key, allowed);
  if (near.length > 0) return `did you mean ${near.join(", ")}?`;
  // What stands behind a [table] belongs to it: TOML has no way back to the top.
  const [elsewhere] = [...allowedKeys].find(([, keys]) => keys.includes(key)) ?? [];
  if (elsewhere === "") return "it belongs to the top of the file, before the first [table]";
  if (elsewhere !== undefined) return `it belongs to [${elsewhere}]`;
  return `allowed are ${allowed.join(", ")}`;
}

export function unknownKeys(
  value: Readonly<Record<string, unknown>>,
  allowedKeys: ReadonlyMap<string, readonly string[]>,
): UnknownKey[] {
  const found: UnknownKey[] = [];
  const visit = (table: string, keys: readonly string[]): void => {
    for (const key of keys) {
      if (allowedKeys.get(table)?.includes(key) === true) continue;
      const path = table === "" ? [key] : [table, key];
      found.push({ path, text: `no such key; ${advice(table, key, allowedKeys)}` });
    }
  };
  visit("", Object.keys(value));
  for (const table of allowedKeys.keys()) {
    const inner = value[table];
    const isTable = typeof inner === "object" && inner !== null && !Array.isArray(inner);
    if (isTable) visit(table, Object.keys(inner));
  }
  return found;
}
