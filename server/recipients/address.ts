/**
 * Addresses in the form in which they are compared: local part without quotes and in lower case, domain as
 * lower-case U-labels. Pure. Not here: whether anybody has the address.
 */
import { domainToUnicode } from "node:url";

export interface Address {
  readonly local: string;
  /** undefined: the address had none. */
  readonly domain: string | undefined;
}

/** RFC 5321 section 4.5.3.1.3 has 256 for a path; UTF-8 and forwarders that put an address into one get room. */
const ADDRESS_LENGTH_MAX = 1024;
/** Names of mailboxes are no longer. */
const LOCAL_BYTES_MAX = 255;

const quoted = /^"((?:[^"\\]|\\.)*)"$/s;
/** RFC 5321 and 6531 dot-string, without its rule for dots, which addresses in use break. */
const unquoted = /^[^\s"\\@<>(),:;[\]]+$/u;
const control = /\p{Cc}/u;
const plainDomain = /^[a-z0-9.-]+$/;
const wideDomain = /^[a-z0-9.\u0080-\u{10ffff}-]+$/u;

/** Local parts that differ in case alone are one here (RFC 5321 section 2.4 leaves it to the host). */
export function foldLocal(local: string): string {
  return local.normalize("NFC").toLowerCase().normalize("NFC");
}

/** Lower-case U-labels; undefined for what is no domain name, an address literal among it. */
export function foldDomain(domain: string): string | undefined {
  const lower = domain.toLowerCase();
  if (plainDomain.test(lower) && !lower.includes("xn--")) return lower;
  // domainToUnicode reads a host of a URL, where "%65" is an "e".
  if (!wideDomain.test(lower)) return undefined;
  return domainToUnicode(lower) || undefined;
}

/** Without quotes and backslashes; undefined for what no local part can be. */
export function unquoteLocal(text: string): string | undefined {
  const inQuotes = quoted.exec(text)?.[1];
  const local = inQuotes?.replaceAll(/\\(.)/gs, "$1") ?? (unquoted.test(text) ? text : "");
  if (local === "" || control.test(local)) return undefined;
  return Buffer.byteLength(local) <= LOCAL_BYTES_MAX ? local : undefined;
}

/** As it stands in a header: in quotes where it has to be. */
export function quoteLocal(local: string): string {
  if (unquoted.test(local)) return local;
  return `"${local.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

export type ParsedAddress =
  | ({ readonly kind: "address" } & Address)
  /** The local part is none, whatever the domain. */
  | { readonly kind: "badLocal" }
  /** Its domain is none that could be ours. */
  | { readonly kind: "foreign" };

export function parseAddress(text: string): ParsedAddress {
  if (text.length > ADDRESS_LENGTH_MAX) return { kind: "badLocal" };
  // No domain has one, a quoted local part may.
  const at = text.lastIndexOf("@");
  const hasDomain = at !== -1 && !text.endsWith('"');
  const local = unquoteLocal(hasDomain ? text.slice(0, at) : text);
  if (local === undefined) return { kind: "badLocal" };
  if (!hasDomain) return { kind: "address", local: foldLocal(local), domain: undefined };
  const domain = foldDomain(text.slice(at + 1));
  if (domain === undefined) return { kind: "foreign" };
  return { kind: "address", local: foldLocal(local), domain };
}
