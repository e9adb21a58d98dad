/** The mail server and a Dovecot that serves its mailboxes, which all belong to one account as virtual users' do. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Program } from "../suite/program.ts";
import type { TestContext } from "../suite/run.ts";
import { Dovecot, missingDovecot } from "./dovecot.ts";
import { MailServer, missingForServer } from "./mail-server.ts";

const command = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));

export const OWNER = { uid: 2_000, gid: 2_000 };

/** Why it cannot be tested here; undefined when it can. */
export function missingMailSite(): string | undefined {
  return missingForServer() ?? missingDovecot();
}

export interface MailSite {
  readonly server: MailServer;
  readonly dovecot: Dovecot;
  /** Of root, on the mount. */
  readonly program: Program;
  readonly users: readonly string[];
}

/** With 20 users. Gone at the end of the test, whatever happens in it. */
export async function startMailSite(
  t: TestContext,
  settings: Readonly<Record<string, string>> = {},
): Promise<MailSite> {
  const users = Array.from({ length: 20 }, (_, i) => `user${i + 1}`);
  const owner = `${OWNER.uid}:${OWNER.gid}`;
  const server = await MailServer.start(t, { tables: { recipients: { users, owner } } });
  const program = new Program();
  t.teardown(() => program.end());
  // Mail programs make dotlocks there.
  await program.call("os.chown", server.mount, OWNER.uid, OWNER.gid);
  const dovecot = await Dovecot.start({ mail: server.mount, ...OWNER, settings });
  t.teardown(() => dovecot.end());
  return { server, dovecot, program, users };
}

/** Dovecot has nothing to complain of, the server ends well, and its store is sound. */
export async function endMailSite(t: TestContext, { server, dovecot }: MailSite): Promise<void> {
  t.strictSame(dovecot.complaints, [], "Dovecot has nothing to complain of");
  await dovecot.stop();
  t.equal(await server.stop(), 0, "the server ends well");
  const { status, stdout } = spawnSync(
    process.execPath,
    [command, "fsck", "--json", server.path("store")],
    { encoding: "utf8", timeout: 300_000 },
  );
  t.equal(status, 0, `the store is sound ${status === 0 ? "" : stdout}`);
}

/** Of deliveries that wait for a lock. */
export function pendingCount({ server }: MailSite): number {
  const args = [command, "stat", "--json", server.mount];
  const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
  return (JSON.parse(stdout) as { pending: number }).pending;
}
