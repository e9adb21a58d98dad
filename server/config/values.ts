/** Sizes, durations and places in the network as people write them in the configuration. Pure. */
import { isIP } from "node:net";

const byteUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit] = /^(\d{1,15}) ?([A-Za-z]+)$/.exec(text) ?? [];
  const factor = unit !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (digits === undefined || factor === undefined) return undefined;
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** "25MiB" or "25 MiB"; digits alone are bytes. */
export function readBytes(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : withUnit(text, byteUnits);
}

/** "5m", "300s", "500ms" to milliseconds. A number without a unit is no duration. */
export function readDuration(text: string): number | undefined {
  return withUnit(text, durationUnits);
}

function withLargestUnit(value: number, units: Readonly<Record<string, number>>): string {
  const [unit, factor] = Object.entries(units).findLast(([, each]) => value % each === 0)!;
  return `${value / factor}${unit}`;
}

/** The shortest text that `readBytes` takes for it. */
export function formatBytes(bytes: number): string {
  return bytes === 0 ? "0B" : withLargestUnit(bytes, byteUnits);
}

export function formatDuration(ms: number): string {
  return ms === 0 ? "0s" : withLargestUnit(ms, durationUnits);
}

export interface Endpoint {
  /** An IP address without brackets. */
  readonly address: string;
  readonly port: number;
}

/** "127.0.0.1:25" or "[::1]:25". */
export function readEndpoint(text: string): Endpoint | undefined {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  if (v6 !== undefined) return isIP(v6) === 6 ? { address: v6, port } : undefined;
  return v4 !== undefined && isIP(v4) === 4 ? { address: v4, port } : undefined;
}

export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
