/** A configuration file, read and checked as a whole: either a Config that can be used, or all that is wrong with it. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { checkRecipients } from "./check-recipients.ts";
import type { Note } from "./checks.ts";
import { checks } from "./checks.ts";
import { compose } from "./compose.ts";
import type { Config } from "./config.ts";
import type { Problem } from "./problems.ts";
import { ConfigError } from "./problems.ts";
import { allowedKeys, schema, type Settings } from "./schema.ts";
import type { Document, Path } from "./toml.ts";
import { parseDocument } from "./toml.ts";
import { unknownKeys } from "./unknown-keys.ts";

export interface LoadedConfig {
  readonly config: Config;
  /** What can be used but is hardly meant. */
  readonly warnings: readonly Problem[];
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const text = code === "ENOENT" ? "no such file" : `cannot be read (${message})`;
    throw new ConfigError([{ place: file, text }]);
  }
}

function read(file: string): Document {
  const document = parseDocument(readText(file));
  if ("lineOf" in document) return document;
  const { line, column, text } = document;
  throw new ConfigError([{ place: `${file}:${line}:${column}`, text }]);
}

/** "limits.recipients_max", "listen.smtp[1]" */
function nameOf(path: Path): string {
  return path.reduce<string>(
    (name, part) =>
      typeof part === "number" ? `${name}[${part}]` : name === "" ? part : `${name}.${part}`,
    "",
  );
}

/** In place of recipients that could not be read, so that the rest can be checked. */
const nobody = { domains: ["example.test"], users: ["nobody"] };

interface Shape {
  readonly settings: Settings;
  /** Tables and keys at the top that have problems: what stands in `settings` for them are defaults. */
  readonly bad: ReadonlySet<string>;
}

function checkShape(document: Document, note: Note): Shape {
  const bad = new Set<string>();
  for (const { path, text } of unknownKeys(document.value, allowedKeys())) note(path, text);
  const result = v.safeParse(schema, document.value);
  if (result.success) return { settings: result.output, bad };
  for (const issue of result.issues) {
    const path = (issue.path ?? []).map(({ key }) => key as string | number);
    const isMissing = issue.type === "object" && issue.received === "undefined";
    bad.add(String(path[0]));
    note(path, isMissing ? "is missing" : issue.message);
  }
  const rest = Object.entries(document.value).filter(([key]) => !bad.has(key));
  const value = {
    ...(bad.has("recipients") ? { recipients: nobody } : {}),
    ...Object.fromEntries(rest),
  };
  return { settings: v.parse(schema, value), bad };
}

/** Problems of one file, in the order of its lines. */
class Notes {
  readonly #file: string;
  readonly #document: Document;
  readonly #found: { readonly line: number; readonly text: string }[] = [];

  constructor(file: string, document: Document) {
    this.#file = file;
    this.#document = document;
  }

  readonly add: Note = (path, text) => {
    this.#found.push({ line: this.#document.lineOf(path), text: `${nameOf(path)}: ${text}` });
  };

  get problems(): readonly Problem[] {
    return this.#found
      .toSorted((a, b) => a.line - b.line)
      .map(({ line, text }) => ({ place: `${this.#file}:${line}`, text }));
  }
}

/** Throws ConfigError. Files and accounts are looked at, the network and the spool are not. */
export function readConfig(file: string, isRoot = process.getuid?.() === 0): LoadedConfig {
  const document = read(file);
  const notes = new Notes(file, document);
  const warnings = new Notes(file, document);
  const { add: note } = notes;
  const { settings, bad } = checkShape(document, note);
  const composed = compose(settings, { directory: dirname(resolve(file)), isRoot, note });
  const isWhole = (reads: readonly string[]): boolean => !reads.some((each) => bad.has(each));
  const subject = { config: composed, isRoot, problem: note, warn: warnings.add };
  for (const check of checks) if (isWhole(check.reads)) check.run(subject);
  const placeOf = (index: number): string =>
    `${file}:${document.lineOf(["recipients", "users", index])}`;
  const { config, problems: ofRecipients } = isWhole(["recipients", "spool"])
    ? checkRecipients(composed, placeOf, note)
    : { config: composed, problems: [] };
  const problems = [...notes.problems, ...ofRecipients];
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, warnings: warnings.problems };
}

/** Throws ConfigError. */
export function loadConfig(file: string): Config {
  return readConfig(file).config;
}
