/**
 * Reads the parts of a message with mailparser's streaming parser. Contents are counted and dropped as they
 * come; the text parts are not decoded at all. mailparser works in turns of the event loop of its own, so an
 * exception in it would end the process: its steps are guarded here, and the first failure ends the reading.
 */
import { once } from "node:events";
import type { AttachmentFacts, FactsLimits } from "./facts.ts";
import type { AttachmentStream, MailParser } from "mailparser";
import { createParser, type ParserSteps, type Step } from "./mailparser.ts";
import { shown } from "./shown.ts";

export interface MimeFacts {
  readonly parts: number;
  readonly attachments: readonly AttachmentFacts[];
  readonly complete: boolean;
}

export class MimeReader {
  readonly #limits: FactsLimits;
  readonly #parser: MailParser;
  readonly #attachments: { name: string; type: string; bytes: number }[] = [];
  readonly #ended: Promise<void>;
  #parts = 0;
  #complete = true;
  #workMs = 0;

  constructor(limits: FactsLimits) {
    this.#limits = limits;
    const { parser, steps } = createParser({
      maxHeadSize: limits.headerBytesMax,
      maxChildNodes: limits.partsMax,
    });
    this.#parser = parser;
    this.#guard(steps);
    this.#count(steps);
    this.#ended = new Promise((resolve) => {
      parser.on("data", (part) => {
        if (part.type === "attachment") this.#attachment(part);
      });
      parser.on("error", () => {
        this.#stop();
        resolve();
      });
      parser.once("end", resolve);
      parser.once("close", resolve);
    });
  }

  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#parser.destroyed || this.#parser.write(chunk)) return undefined;
    const drained = once(this.#parser, "drain");
    // An error has its own handler; here it means that nothing is waited for any more.
    return Promise.race([drained.then(nothing, nothing), this.#ended]);
  }

  async end(withinMs: number): Promise<MimeFacts> {
    if (!this.#parser.destroyed) this.#parser.end();
    const late = setTimeout(() => this.#stop(), withinMs);
    await this.#ended;
    clearTimeout(late);
    return { parts: this.#parts, attachments: this.#attachments, complete: this.#complete };
  }

  #stop(): void {
    this.#complete = false;
    this.#parser.destroy();
  }

  #attachment(part: AttachmentStream): void {
    const { textLengthMax, attachmentsMax } = this.#limits;
    const facts = {
      name: shown(part.filename, textLengthMax) ?? "",
      type: shown(part.contentType, textLengthMax) ?? "",
      bytes: 0,
    };
    if (this.#attachments.length < attachmentsMax) this.#attachments.push(facts);
    else this.#complete = false;
    part.content.on("data", (chunk: Buffer) => (facts.bytes += chunk.length));
    part.content.on("error", () => this.#stop());
    part.content.once("end", () => part.release());
  }

  #count(steps: ParserSteps): void {
    // What a node is stands in it before; the fields themselves are wanted by nobody, and addresses are costly.
    steps.processHeaders = () => new Map();
    const createNode = steps.createNode.bind(steps);
    steps.createNode = (node) => {
      const made = createNode(node);
      if (made.isAttachment !== undefined) this.#parts++;
      made.decoder?.on("error", nothing);
      return made;
    };
  }

  #guard(steps: ParserSteps): void {
    const processChunk = steps.processChunk.bind(steps);
    steps.processChunk = (data, done) => {
      if (this.#parser.destroyed) return;
      if (data.type === "body" && steps.curnode !== false && steps.curnode.isAttachment === false) {
        setImmediate(done);
        return;
      }
      if (this.#workMs > this.#limits.workMsMax) {
        done(new Error("the message takes too long to read"));
        return;
      }
      const start = performance.now();
      attempt(() => processChunk(data, done), done);
      this.#workMs += performance.now() - start;
    };
    const { splitter } = steps;
    const processLine = splitter.processLine.bind(splitter);
    splitter.processLine = (line, final, next) =>
      attempt(() => processLine(line, final, next), next);
  }
}

function attempt(work: () => void, failed: Step): void {
  try {
    work();
  } catch (error) {
    failed(error as Error);
  }
}

function nothing(): void {
  // An end that is handled elsewhere.
}
