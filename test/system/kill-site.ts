/**
 * A mail server with everybody who uses it, whose processes are killed: SMTP and LMTP clients, programs that write files of
 * their own, IMAP sessions of a Dovecot. A supervisor that was killed is started again, as the system's service manager would.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readMounts } from "../../cli/mountinfo.ts";
import { logDirectory, segmentNumber } from "../../fs/store/paths.ts";
import { CallError, Program } from "../suite/program.ts";
import type { TestContext } from "../suite/run.ts";
import { isRunning, processesWith } from "../supervised.ts";
import { deliverOnce } from "./deliveries.ts";
import { Dovecot } from "./dovecot.ts";
import { eventually } from "./harness.ts";
import { Writers } from "./kill-writers.ts";
import { MailServer } from "./mail-server.ts";
import { OWNER } from "./mail-site.ts";

const command = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));

export const PLAIN_BOXES = numbered("box", 100);
export const IMAP_BOXES = numbered("imap", 6);
/** As long as a session may take that its front has left. */
const REMAINS_MS_MAX = 35_000;
/** What calls answer on a mount whose server has gone. */
const GONE = ["ENOTCONN", "ECONNABORTED", "ENODEV"];
const PROBE = "probe";
const BACK_MS_MAX = 90_000;
/** As a service manager waits before it starts a server again that has failed. */
const RESTART_MS = 500;
/** So small that each round fills some segments and cleans some. */
const SEGMENT_BYTES = 512 * 1024;
/** Sessions write what they change at once, and no other session has the mailbox (docs/DOVECOT.md). */
const DOVECOT_SETTINGS = {
  mbox_dirty_syncs: "no",
  mbox_lazy_writes: "no",
  // A dotlock stays when its mount goes, and Dovecot waits for one that was not finished: 2 minutes otherwise.
  mbox_dotlock_change_timeout: "5 secs",
};

export type Victim = "spool" | "front" | "worker" | "supervisor" | "everything";

function numbered(word: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `${word}${i + 1}`);
}

export class KillSite {
  readonly server: MailServer;
  readonly dovecot: Dovecot;
  readonly writers: Writers;
  /** Of root, on the mount. */
  readonly program: Program;
  /** How often the server was started and ended before it served. */
  failedStarts = 0;
  #probes = 0;

  private constructor(server: MailServer, dovecot: Dovecot, writers: Writers, program: Program) {
    this.server = server;
    this.dovecot = dovecot;
    this.writers = writers;
    this.program = program;
  }

  /** Gone at the end of the test, whatever happens in it. */
  static async start(t: TestContext, problems: string[]): Promise<KillSite> {
    const users = [...PLAIN_BOXES, ...IMAP_BOXES, PROBE];
    const owner = `${OWNER.uid}:${OWNER.gid}`;
    const server = await MailServer.start(t, {
      hasOwnTemporary: true,
      environment: { ONESPOOL_SEGMENT_BYTES: `${SEGMENT_BYTES}` },
      tables: { recipients: { users, owner, postmaster: PROBE } },
    });
    const program = new Program();
    t.teardown(() => program.end());
    const directory = `${server.mount}/writers`;
    await program.mkdir(directory);
    for (const each of [server.mount, directory]) {
      await program.call("os.chown", each, OWNER.uid, OWNER.gid);
    }
    const dovecot = await Dovecot.start({
      mail: server.mount,
      ...OWNER,
      settings: DOVECOT_SETTINGS,
      protocols: ["imap"],
    });
    t.teardown(() => dovecot.end());
    const writers = new Writers(directory, OWNER, problems);
    t.teardown(() => writers.end());
    return new KillSite(server, dovecot, writers, program);
  }

  /** Opens the root of the mount; the returned function says whether it can still be used. */
  async witness(): Promise<() => Promise<boolean>> {
    const fd = await this.program.open(this.server.mount);
    return async () => {
      try {
        await this.program.call("os.fstatvfs", fd);
        return true;
      } catch (error) {
        if (error instanceof CallError && GONE.includes(error.code)) return false;
        throw error;
      } finally {
        await this.program.close(fd);
      }
    };
  }

  /** False: it does not run now. The supervisor is started again when this resolves. */
  async kill(victim: Victim, choose: (countMax: number) => number): Promise<boolean> {
    const { spool, front, workers } = this.server.processes();
    const pids = {
      spool: [spool],
      front: [front],
      worker: workers.length === 0 ? [] : [workers[choose(workers.length)]!],
      supervisor: [this.server.pid],
      // As systemd does when the main process of a service has ended (systemd.kill(5), KillMode=mixed).
      everything: [this.server.pid, front, ...workers, spool],
    }[victim].filter((pid) => pid > 0);
    for (const pid of pids) kill(pid);
    if (victim === "supervisor" || victim === "everything") await this.server.kill();
    return pids.length > 0;
  }

  /** Starts the supervisor if it does not run, and waits until a mail is taken. */
  async back(): Promise<void> {
    const deadline = Date.now() + BACK_MS_MAX;
    for (;;) {
      try {
        if (!this.server.running) await this.server.serve();
        await deliverOnce(this.server, { subject: `probe ${++this.#probes}`, to: [PROBE] });
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        if (!this.server.running) {
          this.failedStarts++;
          await sleep(RESTART_MS);
        } else await sleep(50);
      }
    }
  }

  /** Dotlocks that could not be removed with the mount that they were made in. How many there were. */
  async removeDotlocks(): Promise<number> {
    // A session that its client has left still has the dotlock that it works under, or waits for one of those.
    await eventually("Dovecot has no session", () =>
      Promise.resolve(this.dovecot.sessions.length === 0),
    );
    const all = await this.program.list(this.server.mount);
    const names = all.filter((name) => name.endsWith(".lock"));
    for (const name of names) await this.program.unlink(`${this.server.mount}/${name}`);
    return names.length;
  }

  /** Forgets a mailbox and what Dovecot knows of it. */
  async removeMailbox(name: string): Promise<void> {
    const path = `${this.server.mount}/${name}`;
    if (await this.program.exists(path)) await this.program.unlink(path);
    rmSync(join(this.dovecot.directory, "indexes", name), { recursive: true, force: true });
  }

  /** What a server that was ended leaves: processes, mounts, temporary files. Workers of a killed front end after it. */
  async remains(): Promise<string[]> {
    const deadline = Date.now() + REMAINS_MS_MAX;
    while (this.#remains().length > 0 && Date.now() < deadline) await sleep(100);
    return this.#remains();
  }

  #remains(): string[] {
    const { directory } = this.server;
    // Front and workers are not told by their arguments, the herald not by its environment.
    const all = [...processesWith(directory), ...processesIn(this.server.path("tmp"))];
    const processes = [...new Set(all)].filter(isRunning);
    const mounts = readMounts().filter(({ mountpoint }) => mountpoint.startsWith(directory));
    return [
      ...processes.map((pid) => `process ${pid}`),
      ...mounts.map(({ mountpoint }) => `mount ${mountpoint}`),
      ...readdirSync(this.server.path("tmp")).map((name) => `temporary file ${name}`),
    ];
  }

  /** How many segments were cleaned and removed. */
  segmentsRemoved(): number {
    const numbers = readdirSync(logDirectory(this.server.path("store")))
      .map(segmentNumber)
      .filter((number) => number !== undefined);
    return Math.max(...numbers) - numbers.length;
  }

  fsck(): { readonly status: number | null; readonly report: string } {
    const args = [command, "fsck", "--json", this.server.path("store")];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      timeout: 300_000,
    });
    return { status, report: `${stdout}${stderr}` };
  }

  /** Of deliveries that wait for a lock. */
  pending(): number {
    const args = [command, "stat", "--json", this.server.mount];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
    return (JSON.parse(stdout) as { pending: number }).pending;
  }
}

/** Those whose temporary files belong there. */
function processesIn(temporary: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      const environment = /^\d+$/.test(name) ? readFileSync(`/proc/${name}/environ`, "latin1") : "";
      return environment.split("\0").includes(`TMPDIR=${temporary}`) ? [Number(name)] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}
