/** One connection to a mail server, for the tests: bytes out, whole replies in, in order. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** Frees a test that hangs. */
const WAIT_MS_MAX = 20_000;

export interface Reply {
  readonly code: number;
  /** Without code and separator. */
  readonly lines: readonly string[];
}

export function shownReply({ code, lines }: Reply): string {
  return `${code} ${lines.join(" / ")}`;
}

export class SmtpClient {
  #socket: Socket;
  /** Below TLS. */
  readonly #plain: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #hasEnded = false;
  #error: Error | undefined;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#plain = socket;
    this.#listen(socket);
  }

  static async connect(port: number, host = "127.0.0.1"): Promise<SmtpClient> {
    // Small writes must not wait for each other.
    const socket = connectTcp({ port, host, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new SmtpClient(socket);
  }

  /** Local port: the server logs it, or a test tells connections apart by it. */
  get localPort(): number {
    return this.#socket.localPort!;
  }

  /** Whether the other side has ended the connection and all of it was read. */
  get ended(): boolean {
    return this.#hasEnded && this.#bytes.length === 0;
  }

  /** Strings are latin1: one character, one byte. Errors show in what is read next. */
  write(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Resolves when what was written so far has been taken by the kernel, or the connection is gone. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#socket.destroyed) resolve();
      else this.#socket.write("", () => resolve());
    });
  }

  /** A command in UTF-8 and its reply. */
  async command(line: string): Promise<Reply> {
    this.write(Buffer.from(`${line}\r\n`));
    return this.reply();
  }

  /** The next whole reply; undefined when the connection ended instead. */
  async replyOrEnd(): Promise<Reply | undefined> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#line();
      if (line === undefined) {
        if (lines.length > 0) throw new Error(`ended inside of a reply: ${lines.join(" / ")}`);
        return undefined;
      }
      const [, code, separator, text] = /^(\d{3})([ -])?(.*)$/s.exec(line) ?? [];
      if (code === undefined) throw new Error(`not a line of a reply: ${JSON.stringify(line)}`);
      lines.push(text!);
      if (separator !== "-") return { code: Number(code), lines };
    }
  }

  async reply(): Promise<Reply> {
    const reply = await this.replyOrEnd();
    if (reply === undefined) throw new Error(`the server ended the connection ${this.#why()}`);
    return reply;
  }

  /** A reply that must have this code. */
  async expect(code: number): Promise<Reply> {
    const reply = await this.reply();
    if (reply.code !== code) throw new Error(`wanted ${code}, got ${shownReply(reply)}`);
    return reply;
  }

  /** Waits until the server has ended the connection. What came before it and was not read is the result. */
  async closed(): Promise<string> {
    await this.#until(() => this.#hasEnded);
    const rest = this.#bytes.toString("latin1");
    this.#bytes = Buffer.alloc(0);
    return rest;
  }

  /** After the 220 of STARTTLS. The certificate is not checked unless `ca` is given. */
  async startTls(ca?: string): Promise<TLSSocket> {
    this.#socket.removeAllListeners("data").removeAllListeners("end").removeAllListeners("close");
    const options = ca === undefined ? { rejectUnauthorized: false } : { ca };
    const socket = connectTls({ socket: this.#socket, servername: "mx.example.test", ...options });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed during the TLS handshake")));
    });
    this.#socket = socket;
    this.#listen(socket);
    return socket;
  }

  /** No more is sent; what the server says can still be read. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Ends with RST, as a program that was killed with unread input does. */
  reset(): void {
    this.#plain.resetAndDestroy();
  }

  #listen(socket: Socket): void {
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("error", (error) => (this.#error = error));
    const ended = () => {
      this.#hasEnded = true;
      this.#wake();
    };
    socket.on("end", ended);
    socket.on("close", ended);
  }

  async #line(): Promise<string | undefined> {
    await this.#until(() => this.#bytes.includes(0x0a) || this.#hasEnded);
    const end = this.#bytes.indexOf(0x0a);
    if (end === -1) {
      if (this.#bytes.length === 0) return undefined;
      throw new Error(`ended inside of a line: ${JSON.stringify(this.#bytes.toString("latin1"))}`);
    }
    const line = this.#bytes.toString("utf8", 0, end);
    this.#bytes = this.#bytes.subarray(end + 1);
    if (!line.endsWith("\r")) throw new Error(`a reply line ends in LF: ${JSON.stringify(line)}`);
    return line.slice(0, -1);
  }

  async #until(is: () => boolean): Promise<void> {
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!is()) {
      const left = deadline - Date.now();
      if (left <= 0) {
        const unread = JSON.stringify(this.#bytes.toString("latin1").slice(0, 200));
        throw new Error(`the server said nothing more in ${WAIT_MS_MAX} ms; unread: ${unread}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #why(): string {
    return this.#error === undefined ? "" : `(${this.#error.message})`;
  }
}
