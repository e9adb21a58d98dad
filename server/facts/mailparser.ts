/**
 * The parts of mailparser that are not in its documentation and that facts need: its decoding of header fields
 * alone, which costs a fifth of a parser with its streams, and the steps of its work, to count, time and
 * guard them. The package is pinned; test/facts.test.ts fails when a release changes them.
 */
import { MailParser } from "mailparser";
import type { HeaderLine } from "./header.ts";

export interface StructuredValue {
  readonly value: string;
  readonly params: Readonly<Record<string, string>>;
}

export type Step = (error?: Error | null) => void;

/** One node of the MIME tree; a multipart has no `isAttachment`. */
export interface MimeNode {
  readonly contentType: string | false | undefined;
  readonly isAttachment?: boolean;
  readonly decoder?: NodeJS.EventEmitter;
}

interface Splitter {
  processLine(line: Buffer | false, final: boolean, next: Step): void;
}

/** Bound to a parser: each may be replaced by assigning to it. */
export interface ParserSteps {
  curnode: MimeNode | false;
  readonly splitter: Splitter;
  processHeaders(lines: readonly HeaderLine[]): Map<string, unknown>;
  createNode(node: unknown): MimeNode;
  processChunk(data: { readonly type: "node" | "data" | "body" | "none" }, done: Step): void;
}

/** Nobody needs the text of a message here, in no form. */
const options = {
  skipHtmlToText: true,
  skipTextToHtml: true,
  skipTextLinks: true,
  skipImageLinks: true,
};

export interface ParserLimits {
  /** Of one node's header, in bytes. */
  readonly maxHeadSize: number;
  readonly maxChildNodes: number;
}

export function createParser(limits: ParserLimits): { parser: MailParser; steps: ParserSteps } {
  const parser = new MailParser({ ...options, ...limits });
  return { parser, steps: parser as unknown as ParserSteps };
}

const headerParser = new MailParser(options) as unknown as ParserSteps;

/** The decoded fields; throws what mailparser throws. */
export function decodeFields(lines: readonly HeaderLine[]): Map<string, unknown> {
  return headerParser.processHeaders(lines);
}
