/** The bytes of the hints (docs/HINTS.md) that a message needs, each in one buffer. Pure. */
import type { ContentEnd } from "./content.ts";
import type { TargetsRequest } from "./targets.ts";

/** What stands before the bytes of a unit that is to be stored. */
export function writeLine(bytes: number): string {
  return `{"op":"write","bodyBytes":${bytes}}\n`;
}

/** `units`: the tokens of the pieces that were stored, between the header and the rest of the body. */
export function deliverRequest(
  content: ContentEnd,
  units: readonly string[],
  targets: TargetsRequest,
  isLinked: boolean,
): Buffer {
  const { header, rest, restBytes } = content;
  const inlineBytes = header.length + restBytes;
  const bodyBytes = inlineBytes + targets.privateBytes;
  let shared = `{"bytes":${inlineBytes}}`;
  if (units.length > 0) {
    shared = `{"bytes":${header.length}}`;
    for (const unit of units) shared += `,{"unit":"${unit}"}`;
    shared += `,{"bytes":${restBytes}}`;
  }
  const copies = isLinked ? "" : `"copies":true,`;
  const line = `{"op":"deliver",${copies}"shared":[${shared}],"to":${targets.to},"bodyBytes":${bodyBytes}}\n`;
  const request = Buffer.allocUnsafe(Buffer.byteLength(line) + bodyBytes);
  let at = request.write(line, 0, "utf8");
  at += request.write(header, at, "latin1");
  for (const part of rest) at += part.copy(request, at);
  request.write(targets.private, at, "utf8");
  return request;
}
