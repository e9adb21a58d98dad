/**
 * The aliases file as aliases(5) has it: `name: target, target`. Pure; docs/CONFIG.md describes it. Commands,
 * files and lists from files are refused: nothing that mail can start, no file but mailboxes. So are foreign
 * domains, since there is no outbound queue.
 */
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import type { Address } from "./address.ts";
import { parseAddress } from "./address.ts";
import type { PlaceOf } from "./users-file.ts";

export interface Target extends Address {
  /** Written with a backslash in front: the user of that name, whatever aliases there are. */
  readonly isUser: boolean;
}

export interface Alias extends Address {
  readonly place: string;
  readonly targets: readonly Target[];
}

interface LogicalLine {
  readonly index: number;
  text: string;
}

/** A line that begins with a blank continues the one before; comments and empty lines in between do not count. */
function logicalLines(lines: readonly string[]): LogicalLine[] {
  const found: LogicalLine[] = [];
  for (const [index, text] of lines.entries()) {
    if (/^\s*(?:#|$)/.test(text)) continue;
    const last = found.at(-1);
    if (/^\s/.test(text) && last !== undefined) last.text += ` ${text.trim()}`;
    else found.push({ index, text });
  }
  return found;
}

/** At a separator outside of quotes; a "#" behind a blank ends the line. undefined: a quote that is left open. */
function split(text: string, separator: string, parts: number): string[] | undefined {
  // Nearly all lines have nothing that hides a separator.
  if (parts > 2 && !/["#]/.test(text)) return text.split(separator).map((each) => each.trim());
  const found: string[] = [];
  let part = "";
  let inQuotes = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\" && inQuotes) part += char + (text[++at] ?? "");
    else if (char === separator && !inQuotes && found.length + 1 < parts) {
      found.push(part.trim());
      part = "";
    } else if (char === "#" && !inQuotes && /\s$/.test(part)) break;
    else {
      if (char === '"') inQuotes = !inQuotes;
      part += char;
    }
  }
  return inQuotes ? undefined : [...found, part.trim()];
}

function readTarget(text: string, domains: ReadonlySet<string>): Target | string {
  const bare = text.startsWith('"') ? text.slice(1) : text;
  if (bare.startsWith("|")) return `${shown(text)}: commands are not run`;
  if (bare.startsWith("/")) return `${shown(text)}: files are not written, only mailboxes of users`;
  if (/^:include:/i.test(bare)) return `${shown(text)}: lists from other files are not read`;
  const isUser = text.startsWith("\\");
  const address = parseAddress(isUser ? text.slice(1) : text);
  if (address.kind === "badLocal") return `${shown(text)} is no address`;
  const { local, domain } = address.kind === "foreign" ? {} : address;
  if (local === undefined || (domain !== undefined && !domains.has(domain))) {
    return `${shown(text)}: its domain is none of ours, and this server sends no mail`;
  }
  return { local, domain, isUser };
}

function readName(text: string, domains: ReadonlySet<string>): Address | string {
  const address = parseAddress(text);
  if (address.kind === "badLocal") return `${shown(text)} cannot be the name of an alias`;
  const { local, domain } = address.kind === "foreign" ? {} : address;
  if (local === undefined || (domain !== undefined && !domains.has(domain))) {
    return `${shown(text)}: its domain is none of recipients.domains`;
  }
  return { local, domain };
}

export function parseAliases(
  lines: readonly string[],
  domains: ReadonlySet<string>,
  placeOf: PlaceOf,
  problems: Problem[],
): Alias[] {
  const aliases: Alias[] = [];
  for (const { index, text } of logicalLines(lines)) {
    const place = placeOf(index);
    const [nameText, targetsText] = split(text, ":", 2) ?? [];
    const targetTexts = split(targetsText ?? "", ",", Number.POSITIVE_INFINITY);
    if (nameText === undefined || targetTexts === undefined) {
      problems.push({ place, text: "a quotation mark is not closed" });
      continue;
    }
    if (targetsText === undefined) {
      problems.push({ place, text: `${shown(text)} is not "name: target, target"` });
      continue;
    }
    const name = readName(nameText, domains);
    if (typeof name === "string") {
      problems.push({ place, text: name });
      continue;
    }
    const targets: Target[] = [];
    for (const each of targetTexts.filter(Boolean)) {
      const target = readTarget(each, domains);
      if (typeof target === "string") problems.push({ place, text: `${nameText}: ${target}` });
      else targets.push(target);
    }
    if (targetTexts.every((each) => each === "")) {
      problems.push({ place, text: `${nameText}: leads to nobody` });
    }
    aliases.push({ ...name, place, targets });
  }
  return aliases;
}
