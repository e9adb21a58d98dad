/**
 * One IMAP connection (RFC 3501 with IDLE of RFC 2177 and UIDPLUS of RFC 4315), as raw as a test needs it: a command
 * and all that came before its tagged reply. Bytes are latin1: one character, one byte.
 */
import { connect as connectTcp, type Socket } from "node:net";

/** Frees a test that hangs: a server that is only slow under load answers long before. */
const WAIT_MS_MAX = 90_000;

/** An untagged response: its line with "{n}" where the n bytes of a literal stood, and the literals. */
export interface Response {
  readonly line: string;
  readonly literals: readonly Buffer[];
}

export interface Completed {
  readonly ok: boolean;
  /** The tagged reply without its tag. */
  readonly text: string;
  readonly untagged: readonly Response[];
}

export interface Fetched {
  readonly sequence: number;
  /** 0: not in the response. */
  readonly uid: number;
  readonly flags: readonly string[] | undefined;
  readonly literal: Buffer | undefined;
}

export class ImapClient {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #end: Error | undefined;
  #wake: () => void = () => undefined;
  #lastTag = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("error", (error) => this.#ended(error));
    socket.on("close", () => this.#ended(new Error("the server ended the connection")));
  }

  /** Connected, greeted and logged in. */
  static async login(port: number, user: string): Promise<ImapClient> {
    const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
    const client = new ImapClient(socket);
    const greeting = await client.next();
    if (!greeting.line.startsWith("* OK")) throw new Error(`greeting: ${greeting.line}`);
    await client.must(`LOGIN ${user} secret`);
    return client;
  }

  /** A command, and perhaps a literal at its end. */
  async command(command: string, literal?: Buffer): Promise<Completed> {
    const tag = `t${++this.#lastTag}`;
    const untagged: Response[] = [];
    if (literal === undefined) this.#socket.write(`${tag} ${command}\r\n`, "latin1");
    else {
      this.#socket.write(`${tag} ${command} {${literal.length}}\r\n`, "latin1");
      const refused = await this.#untilContinued(tag, untagged);
      if (refused !== undefined) return refused;
      this.#socket.write(Buffer.concat([literal, Buffer.from("\r\n")]));
    }
    return this.#untilTagged(tag, untagged, command);
  }

  /** A command that must succeed. */
  async must(command: string, literal?: Buffer): Promise<Completed> {
    const completed = await this.command(command, literal);
    if (!completed.ok) throw new Error(`${command}: ${completed.text}`);
    return completed;
  }

  async fetch(command: string): Promise<readonly Fetched[]> {
    const { untagged } = await this.must(command);
    return untagged.map(fetched).filter((found) => found !== undefined);
  }

  /** Resolves when the server has taken note; idled() tells what it says, done() ends it. */
  async idle(): Promise<void> {
    const tag = `t${++this.#lastTag}`;
    this.#socket.write(`${tag} IDLE\r\n`);
    const refused = await this.#untilContinued(tag, []);
    if (refused !== undefined) throw new Error(`IDLE: ${refused.text}`);
  }

  /** The next untagged response that matches; undefined when none came in time. */
  async idled(pattern: RegExp, waitMs: number): Promise<Response | undefined> {
    const deadline = Date.now() + waitMs;
    for (;;) {
      const response = await this.#nextBefore(deadline);
      if (response === undefined || pattern.test(response.line)) return response;
    }
  }

  async done(): Promise<Completed> {
    this.#socket.write("DONE\r\n");
    return this.#untilTagged(`t${this.#lastTag}`, [], "IDLE");
  }

  async logout(): Promise<void> {
    await this.must("LOGOUT");
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The next response, whatever it is. */
  async next(): Promise<Response> {
    const response = await this.#nextBefore(Date.now() + WAIT_MS_MAX);
    if (response === undefined) throw new Error(`the server said nothing in ${WAIT_MS_MAX} ms`);
    return response;
  }

  async #untilContinued(tag: string, untagged: Response[]): Promise<Completed | undefined> {
    for (;;) {
      const response = await this.next();
      if (response.line.startsWith("+")) return undefined;
      const completed = completion(response, tag, untagged);
      if (completed !== undefined) return completed;
      untagged.push(response);
    }
  }

  async #untilTagged(tag: string, untagged: Response[], command: string): Promise<Completed> {
    try {
      for (;;) {
        const response = await this.next();
        const completed = completion(response, tag, untagged);
        if (completed !== undefined) return completed;
        untagged.push(response);
      }
    } catch (error) {
      const last = untagged.at(-1)?.line ?? "nothing";
      throw new Error(`${command}: ${(error as Error).message} (last: ${last})`, { cause: error });
    }
  }

  async #nextBefore(deadline: number): Promise<Response | undefined> {
    for (;;) {
      const response = this.#take();
      if (response !== undefined) return response;
      if (this.#end !== undefined) throw this.#end;
      const left = deadline - Date.now();
      if (left <= 0) return undefined;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The first whole response of what has come. */
  #take(): Response | undefined {
    let line = "";
    const literals: Buffer[] = [];
    for (let at = 0; ;) {
      const end = this.#bytes.indexOf("\r\n", at);
      if (end === -1) return undefined;
      line += this.#bytes.toString("latin1", at, end);
      at = end + 2;
      const length = /\{(\d+)\}$/.exec(line)?.[1];
      if (length === undefined) {
        this.#bytes = this.#bytes.subarray(at);
        return { line, literals };
      }
      const literal = this.#bytes.subarray(at, at + Number(length));
      if (literal.length < Number(length)) return undefined;
      literals.push(literal);
      at += literal.length;
    }
  }

  #ended(error: Error): void {
    this.#end ??= error;
    this.#wake();
  }
}

function completion(
  { line }: Response,
  tag: string,
  untagged: readonly Response[],
): Completed | undefined {
  if (!line.startsWith(`${tag} `)) return undefined;
  const text = line.slice(tag.length + 1);
  return { ok: text.startsWith("OK"), text, untagged };
}

function fetched({ line, literals }: Response): Fetched | undefined {
  const sequence = /^\* (\d+) FETCH /.exec(line)?.[1];
  if (sequence === undefined) return undefined;
  const flags = /FLAGS \(([^)]*)\)/.exec(line)?.[1];
  return {
    sequence: Number(sequence),
    uid: Number(/\bUID (\d+)/.exec(line)?.[1] ?? 0),
    flags: flags?.split(" ").filter((flag) => flag !== ""),
    literal: literals[0],
  };
}
