/**
 * One value of the file each, as a valibot schema: what is read, what it becomes, and the sentence for what is
 * not allowed. Pure.
 */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import * as v from "valibot";
import type { NumberKey } from "./number-keys.ts";
import { shown } from "./problems.ts";
import type { Endpoint } from "./values.ts";
import { formatBytes, formatDuration, readBytes, readDuration, readEndpoint } from "./values.ts";
import { foldDomain } from "../recipients/address.ts";

/** `what` ends the sentence "must be". `read` returns undefined for what is not allowed, and a text for why not. */
export function setting<T>(
  what: string,
  read: (value: unknown) => { readonly value: T } | string | undefined,
) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const result = read(dataset.value);
      if (typeof result === "object") return result.value;
      addIssue({ message: result ?? `must be ${what}, not ${shown(dataset.value)}` });
      return NEVER;
    }),
  );
}

const plain = (value: number): string => String(value);
const formats = { count: plain, bytes: formatBytes, duration: formatDuration };

const examples = {
  count: "a whole number",
  bytes: 'a size ("64KiB", or bytes as a number)',
  duration: 'a time with its unit ("500ms", "30s", "5m", "1h")',
};

function readNumber(unit: NumberKey["unit"], value: unknown): number | undefined {
  if (unit === "duration") return typeof value === "string" ? readDuration(value) : undefined;
  if (unit === "bytes" && typeof value === "string") return readBytes(value);
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
}

export function formatNumber({ unit, scale }: NumberKey, value: number): string {
  return formats[unit](value * scale);
}

/** "from 1 to 10000", as docs/CONFIG.md has it too. */
export function boundsOf({ unit, min, max }: NumberKey): string {
  return `from ${formats[unit](min)} to ${formats[unit](max)}`;
}

export function number(key: NumberKey) {
  const { unit, min, max, scale } = key;
  return setting<number>(`${examples[unit]} ${boundsOf(key)}`, (value) => {
    const read = readNumber(unit, value);
    const isAllowed = read !== undefined && read >= min && read <= max && read % scale === 0;
    return isAllowed ? { value: read / scale } : undefined;
  });
}

export function text(what: string) {
  return setting<string>(what, (value) => {
    const isText = typeof value === "string" && value !== "" && !/\p{Cc}/u.test(value);
    return isText ? { value } : undefined;
  });
}

export function choice<const T extends string>(...allowed: readonly T[]) {
  const what = `one of ${allowed.map((each) => `"${each}"`).join(", ")}`;
  return setting<T>(what, (value) => {
    const found = allowed.find((each) => each === value);
    return found === undefined ? undefined : { value: found };
  });
}

/** Of TOML: without quotation marks. */
export const flag = setting<boolean>("true or false, without quotation marks", (value) =>
  typeof value === "boolean" ? { value } : undefined,
);

export const endpointText = 'an address and a port ("127.0.0.1:25", "[::1]:25")';

export const endpoint = setting<Endpoint>(endpointText, (value) => {
  const read = typeof value === "string" ? readEndpoint(value) : undefined;
  return read === undefined ? undefined : { value: read };
});

const isHostname = /^(?!.*\.\.)(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i;

export const hostname = setting<string>('a host name ("mail.example.org")', (value) =>
  typeof value === "string" && isHostname.test(value) ? { value: value.toLowerCase() } : undefined,
);

export const domain = setting<string>('a domain ("example.org")', (value) => {
  const folded = typeof value === "string" ? foldDomain(value) : undefined;
  // Dots where a domain has none, and what would be read as an IPv4 address.
  const isDomain = folded !== undefined && !/^[.-]|\.\.|[.-]$|(?:^|\.)\d+$/.test(folded);
  return isDomain ? { value: folded } : undefined;
});

function network(value: string): string | undefined {
  // Not all that ipaddr.js takes: "10" is an address for it.
  const [written = "", bitsWritten] = value.split("/", 2);
  if (isIP(written) === 0) return undefined;
  if (bitsWritten === undefined) return written;
  if (!ipaddr.isValidCIDR(value)) return undefined;
  const [address, bits] = ipaddr.parseCIDR(value);
  const base =
    address.kind() === "ipv4"
      ? ipaddr.IPv4.networkAddressFromCIDR(value)
      : ipaddr.IPv6.networkAddressFromCIDR(value);
  // Bits behind the prefix mean that one of the two is a slip.
  return base.toNormalizedString() === address.toNormalizedString()
    ? `${address.toString()}/${bits}`
    : undefined;
}

export const networks = v.array(
  setting<string>(
    'an address or a block ("192.0.2.1", "192.0.2.0/24", "2001:db8::/32")',
    (value) => {
      const read = typeof value === "string" ? network(value) : undefined;
      return read === undefined ? undefined : { value: read };
    },
  ),
  "must be an array",
);
