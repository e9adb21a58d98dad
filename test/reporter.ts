/**
 * tap's reporter for this project: one line for each test file, every failure with its diff, every
 * skip with its reason, and at the end, alone on a line, `N passed, N failed, N skipped`.
 * It writes plain lines only, so that a log reads as well as a terminal.
 *
 * What counts is the assertion. A file or a subtest that fails without a failed assertion in it
 * (a crash, a time-out, nothing tested) counts as one failure.
 */
import { Transform, type TransformCallback } from "node:stream";
import { Parser, type FinalResults, type Result } from "tap-parser";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const none = (): Counts => ({ passed: 0, failed: 0, skipped: 0 });

/** The parts of a failure's diagnostics that help to understand it, in the order of their use. */
const detailKeys = ["diff", "found", "wanted", "pattern", "error", "message", "code", "signal"];

/** Written by tap, not by a test. */
const TAPS_OWN_COMMENT = /^# (?:Subtest|time=|test count|failed \d|skip: \d|todo: \d)/;

function indent(text: string, depth: number): string {
  return text.trimEnd().replaceAll(/^(?=.)/gm, " ".repeat(depth));
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

function place(at: unknown): string | undefined {
  const { fileName, lineNumber } = (at ?? {}) as { fileName?: string; lineNumber?: number };
  return fileName === undefined ? undefined : `${fileName}:${lineNumber}`;
}

/** A failed test point as indented text: where, the difference, the stack. */
export function describeFailure(path: readonly string[], result: Result): string {
  const diagnostics = (result.diag ?? {}) as Record<string, unknown>;
  const lines = [`  not ok: ${[...path, result.name].filter(Boolean).join(" > ")}`];
  const at = place(diagnostics["at"]);
  if (at !== undefined) lines.push(`    at ${at}`);
  for (const key of detailKeys) {
    const value = diagnostics[key];
    if (value === undefined || value === null || value === "") continue;
    const text = shown(value);
    lines.push(text.includes("\n") ? `    ${key}:\n${indent(text, 6)}` : `    ${key}: ${text}`);
  }
  const stack = diagnostics["stack"];
  if (typeof stack === "string" && diagnostics["diff"] === undefined) {
    lines.push(`    stack:\n${indent(stack, 6)}`);
  }
  return lines.join("\n");
}

/** Follows one test file's part of the stream, to any depth of subtests. */
class FileReport {
  readonly counts = none();
  readonly failures: string[] = [];
  readonly skips: string[] = [];
  readonly extra: string[] = [];
  /** What the tests said of themselves, as the seed that repeats a run. */
  readonly comments: string[] = [];

  follow(parser: Parser, path: readonly string[]): void {
    let failedBefore = 0;
    parser.on("child", (child: Parser) => {
      failedBefore = this.counts.failed;
      this.follow(child, [...path, child.name]);
    });
    parser.on("extra", (text: string) => this.extra.push(text));
    parser.on("comment", (text: string) => {
      if (!TAPS_OWN_COMMENT.test(text)) this.comments.push(text.replace(/^# /, ""));
    });
    parser.on("assert", (result: Result) => {
      if (result.skip) {
        this.counts.skipped++;
        const reason = typeof result.skip === "string" ? result.skip : "no reason given";
        this.skips.push(`  skipped: ${[...path, result.name].join(" > ")}: ${reason}`);
      } else if (result.closingTestPoint) {
        if (!result.ok && !result.todo && this.counts.failed === failedBefore) {
          this.fail(path, result);
        }
      } else if (result.ok || result.todo) {
        this.counts.passed++;
      } else {
        this.fail(path, result);
      }
    });
  }

  fail(path: readonly string[], result: Result): void {
    this.counts.failed++;
    this.failures.push(describeFailure(path, result));
  }

  text(result: Result): string {
    const { passed, failed, skipped } = this.counts;
    const seconds = ((result.time ?? 0) / 1000).toFixed(1);
    const parts = [`${passed} passed`];
    if (failed > 0) parts.push(`${failed} failed`);
    if (skipped > 0) parts.push(`${skipped} skipped`);
    const lines = [
      `${failed === 0 ? "ok    " : "FAILED"}  ${result.name}  ${parts.join(", ")}  (${seconds} s)`,
      ...this.skips,
      ...this.failures,
    ];
    if (failed === 0) return `${lines.join("\n")}\n`;
    const comments = this.comments.join("").trim();
    if (comments !== "") lines.push(`    what it said:\n${indent(comments, 6)}`);
    const extra = this.extra.join("").trim();
    if (extra !== "") lines.push(`    what it printed:\n${indent(extra, 6)}`);
    return `${lines.join("\n")}\n`;
  }
}

export function totalLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

export default class Reporter extends Transform {
  readonly #parser: Parser;
  readonly #total = none();
  #file: FileReport | undefined;

  constructor() {
    super();
    this.#parser = new Parser((results) => this.#finish(results));
    this.#parser.on("child", (child: Parser) => {
      this.#file = new FileReport();
      this.#file.follow(child, []);
    });
    this.#parser.on("assert", (result: Result) => this.#endFile(result));
    this.#parser.on("bailout", (reason: string) => this.push(`Bail out! ${reason}\n`));
  }

  #endFile(result: Result): void {
    const file = this.#file ?? new FileReport();
    this.#file = undefined;
    if (result.skip && file.counts.skipped === 0) {
      file.counts.skipped++;
      file.skips.push(`  skipped: the whole file: ${shown(result.skip)}`);
    } else if (!result.ok && file.counts.failed === 0) {
      file.fail([], result);
    }
    this.#total.passed += file.counts.passed;
    this.#total.failed += file.counts.failed;
    this.#total.skipped += file.counts.skipped;
    this.push(file.text(result));
  }

  /** A stream that is not whole (a plan not kept, a bail out) must not look like a success. */
  #finish(results: FinalResults): void {
    if (!results.ok && this.#total.failed === 0) this.#total.failed++;
    this.push(`\n${totalLine(this.#total)}\n`);
  }

  override _transform(chunk: Buffer | string, _encoding: string, done: TransformCallback): void {
    this.#parser.write(chunk);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#parser.once("complete", () => done());
    this.#parser.end();
  }
}
