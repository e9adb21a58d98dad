/**
 * Version 1 of the PROXY protocol: one line before anything else, in which a proxy tells whose connection it
 * passes on. Source: "The PROXY protocol", versions 1 & 2, section 2.1.
 *
 * Not here: version 2 (binary); from whom it is believed.
 */
import { isIP } from "node:net";
import type { Endpoints } from "./connection.ts";

/** With CRLF: "PROXY UNKNOWN" with two full IPv6 addresses and ports. */
export const PROXY_HEADER_BYTES_MAX = 107;

export type ProxyHeader =
  | { readonly kind: "client"; readonly endpoints: Endpoints }
  /** The proxy's own connection, a health check for instance. */
  | { readonly kind: "unknown" }
  | { readonly kind: "invalid" };

const invalid: ProxyHeader = { kind: "invalid" };
const PORT_MAX = 65_535;

/** From the first bytes of a connection, its line end included when it has come. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | { readonly kind: "incomplete" } {
  const end = bytes.indexOf("\r\n");
  if (end === -1) {
    return bytes.length < PROXY_HEADER_BYTES_MAX ? { kind: "incomplete" } : invalid;
  }
  if (end + "\r\n".length > PROXY_HEADER_BYTES_MAX) return invalid;
  return parseProxyHeader(bytes.toString("latin1", 0, end));
}

/** `line` is without its CRLF. */
export function parseProxyHeader(line: string): ProxyHeader {
  const [name, family, ...rest] = line.split(" ");
  if (name !== "PROXY") return invalid;
  if (family === "UNKNOWN") return { kind: "unknown" };
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : undefined;
  const [address, localAddress, port, localPort] = rest;
  if (version === undefined || rest.length !== 4) return invalid;
  if (isIP(address!) !== version || isIP(localAddress!) !== version) return invalid;
  const from = portOf(port!);
  const to = portOf(localPort!);
  if (from === undefined || to === undefined) return invalid;
  const endpoints = {
    remoteAddress: address!,
    remotePort: from,
    localAddress: localAddress!,
    localPort: to,
  };
  return { kind: "client", endpoints };
}

function portOf(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= PORT_MAX ? port : undefined;
}
