/** What holds where the configuration says nothing. docs/CONFIG.md gives the same numbers, a test compares them. */
import { availableParallelism, hostname } from "node:os";
import { resolve } from "node:path";
import { findGroup } from "./accounts.ts";
import type { Config, Limits, Listener, RecipientsConfig, WorkersConfig } from "./config.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

export const limitDefaults: Limits = {
  connectionsMax: 20_000,
  connectionsPerClientMax: 100,
  greetingDelayMs: 0,
  // RFC 5321 section 4.5.3.2.7: a server should wait at least five minutes.
  commandMs: 5 * MINUTE,
  unusedMs: MINUTE,
  sessionMs: 60 * MINUTE,
  dataBytesPerSecondMin: 500,
  // RFC 5321 section 4.5.3.1.4 has 512; parameters of extensions come on top.
  commandBytesMax: 2 * KiB,
  idleCommandsMax: 100,
  errorsSoft: 10,
  errorsHard: 20,
  recipientsMax: 2000,
  messagesMax: 1000,
  messageBytesMax: 25 * MiB,
  lineBytesMax: 64 * KiB,
  headerBytesMax: 64 * KiB,
  headerFieldsMax: 1000,
  receivedFieldsMax: 50,
  handOverMs: 5 * SECOND,
  stressPercent: 80,
  stressCommandMs: 10 * SECOND,
  stressErrorsHard: 5,
};

export function workerDefaults(): WorkersConfig {
  return {
    count: availableParallelism(),
    memoryMiBMax: 512,
    messagesMax: 100_000,
    connectionsMax: 2000,
  };
}

export const listenDefaults: readonly Listener[] = [
  { protocol: "smtp", address: "127.0.0.1", port: 2525 },
  { protocol: "lmtp", address: "127.0.0.1", port: 2524 },
];

export const metricsDefault = { address: "127.0.0.1", port: 9525 } as const;
export const storeDefault = "spool-store";
export const mountDefault = "spool";
export const mailboxDefault = "{user}";
export const detailSeparatorDefault = "+";

/** Of root only: anybody else stays who he is. */
export function userDefault(isRoot: boolean): string | undefined {
  return isRoot ? "nobody" : undefined;
}

/** As the group mail has it on Debian; who is not root can give a mailbox to nobody else. */
export function ownerDefault(isRoot: boolean): RecipientsConfig["owner"] {
  return isRoot ? { uid: 0, gid: findGroup("mail")?.gid ?? 0 } : undefined;
}

/** The machine's name where it can stand in a greeting. */
export function hostnameDefault(): string {
  const name = hostname().toLowerCase();
  return /^[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?$/.test(name) ? name : "localhost";
}

/** What `onespool serve` runs with when it is given no file: store and mount are below the directory. */
export function defaultConfig(directory: string, isRoot: boolean): Config {
  return {
    hostname: hostnameDefault(),
    user: userDefault(isRoot),
    listen: listenDefaults,
    spool: {
      store: resolve(directory, storeDefault),
      mount: resolve(directory, mountDefault),
      binding: "auto",
      reclaim: true,
    },
    tls: undefined,
    recipients: {
      domains: ["example.test"],
      users: { lines: Array.from({ length: 20 }, (_, index) => `user${index + 1}`) },
      aliasesFile: undefined,
      catchAll: undefined,
      postmaster: "user1",
      detailSeparator: detailSeparatorDefault,
      mailbox: mailboxDefault,
      owner: ownerDefault(isRoot),
      quotaBytes: 0,
    },
    share: "multi",
    bareNewline: "normalize",
    limits: limitDefaults,
    workers: workerDefaults(),
    proxyFrom: [],
    xclientFrom: [],
    log: { level: "info", file: undefined },
    metrics: metricsDefault,
  };
}
