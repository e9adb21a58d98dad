/**
 * What a test of locks needs: a mail server whose mailboxes belong to one account, as with virtual users, and the
 * three ways in which mail comes into them. All messages are numbered ones (numbered-mail.ts).
 */
import { Program } from "../suite/program.ts";
import type { TestContext } from "../suite/run.ts";
import { introduced, replies } from "./deliveries.ts";
import { eventually } from "./harness.ts";
import { HintClient } from "./hints.ts";
import { MailServer } from "./mail-server.ts";
import { mailText, wholeMails } from "./numbered-mail.ts";
import type { SmtpClient } from "./smtp-client.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Numbers that nobody has. */
export const OWNER: Owner = { uid: 2_000, gid: 2_000 };

export const ways = ["hint", "lmtp", "smtp"] as const;
export type Way = (typeof ways)[number];

export class LockSite {
  readonly server: MailServer;
  /** Runs as root. */
  readonly root: Program;
  readonly owner: Owner;
  #hints: HintClient | undefined;
  readonly #clients = new Map<"smtp" | "lmtp", SmtpClient>();

  private constructor(server: MailServer, root: Program, owner: Owner) {
    this.server = server;
    this.root = root;
    this.owner = owner;
  }

  static async start(t: TestContext, owner: Owner = OWNER): Promise<LockSite> {
    const recipients = { owner: `${owner.uid}:${owner.gid}` };
    const server = await MailServer.start(t, { tables: { recipients } });
    const root = new Program();
    t.teardown(() => root.end());
    const site = new LockSite(server, root, owner);
    // Everybody may make dotlocks and remove their own.
    await root.call("os.chmod", server.mount, 0o1777);
    return site;
  }

  path(name: string): string {
    return `${this.server.mount}/${name}`;
  }

  /** A new mailbox with these messages. */
  async fill(box: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.deliver("hint", id, box);
  }

  /** Resolves when the message is acknowledged; throws when it is not accepted. */
  async deliver(way: Way, id: string, box: string): Promise<void> {
    if (way === "hint") {
      const { uid, gid } = this.owner;
      const shared = Buffer.from(`${quoted(mailText({ id }))}\n`);
      const own = Buffer.from("From ann@example.org Thu Jan  1 00:00:00 2026\n");
      const to = [{ path: box, private: own, create: { mode: 0o600, uid, gid } }];
      const hints = await this.hints();
      const reply = await hints.deliver(shared, to);
      if (!reply.ok) throw new Error(`${id}: ${JSON.stringify(reply)}`);
      return;
    }
    const client = this.#clients.get(way) ?? (await introduced(this.server, way));
    this.#clients.set(way, client);
    const text = mailText({ id }).replaceAll(/^\./gm, "..").replaceAll("\n", "\r\n");
    const mail = { subject: id, to: [box] };
    client.write(`MAIL FROM:<ann@example.org>\r\nRCPT TO:<${box}@example.test>\r\nDATA\r\n`);
    client.write(`${text}.\r\n`);
    const codes = (await replies(client, mail)).map((reply) => reply?.code);
    if (codes.join() !== "250,250,354,250") throw new Error(`${id}: ${codes.join()}`);
  }

  /** One message in each way, and again, which are all acknowledged and pend. Their ids are the result. */
  async deliverUnderLock(t: TestContext, box: string, word = ""): Promise<string[]> {
    const [text, pending] = [await this.text(box), await this.pending()];
    const late: string[] = [];
    for (const round of [1, 2]) {
      for (const way of ways) {
        const id = `${way}${word}-${round}`;
        await this.deliver(way, id, box);
        late.push(id);
      }
    }
    t.equal(await this.pending(), pending + late.length, "all of them pend");
    t.equal(await this.text(box), text, "the mailbox is as its program left it");
    return late;
  }

  async hints(): Promise<HintClient> {
    this.#hints ??= await HintClient.open(this.root, this.server.mount);
    return this.#hints;
  }

  /** Deliveries that wait for a lock, of all mailboxes. */
  async pending(): Promise<number> {
    const reply = await (await this.hints()).request({ op: "statistics" });
    return reply["pending"] as number;
  }

  text(box: string): Promise<string> {
    return this.server.mailbox(box);
  }

  /** The ids of a mailbox's messages, all of them whole. */
  async ids(box: string): Promise<string[]> {
    return wholeMails(await this.text(box));
  }

  async nothingPends(): Promise<void> {
    await eventually("nothing pends", async () => (await this.pending()) === 0);
  }

  /**
   * Nothing pends, and the mailbox has these messages. What has pended becomes visible a moment after it is in the
   * mailbox: nobody waits until the kernel has heard of it but who takes a lock.
   */
  async shows(t: TestContext, box: string, wanted: readonly string[]): Promise<void> {
    await this.nothingPends();
    const [last] = wanted.slice(-1);
    await eventually(`${box} shows ${last}`, async () =>
      (await this.text(box)).includes(`\nSubject: ${last}\n`),
    );
    t.strictSame(await this.ids(box), wanted, "every message once, in order");
  }

  /** The spool is another process now, or will be: what is open in it is of no use any more. */
  async forget(): Promise<void> {
    this.#hints = undefined;
    for (const client of this.#clients.values()) client.destroy();
    this.#clients.clear();
  }

  /** kill -9 of the process that serves the mount. Resolves when its successor does. */
  async killSpool(): Promise<void> {
    const { spool } = this.server.processes();
    await this.forget();
    process.kill(spool, "SIGKILL");
    await eventually("another spool serves the mount", async () => {
      const now = this.server.processes().spool;
      if (now === 0 || now === spool) return false;
      return this.root.exists(this.path(".onespool")).catch(() => false);
    });
    await this.server.greets();
  }

  /** The server is stopped and started. */
  async restart(): Promise<void> {
    await this.forget();
    await this.server.stop();
    await this.server.serve();
  }
}

/** The body of a message as it stands in a mailbox. */
export function storedBody(id: string): string {
  return quoted(mailText({ id }).split("\n\n")[1]!);
}

function quoted(text: string): string {
  return text.replaceAll(/^(?=>*From )/gm, ">");
}
