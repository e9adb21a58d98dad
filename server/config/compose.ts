/** What the file says, with defaults and absolute paths: a Config. What it cannot be is noted, not thrown. */
import { resolve } from "node:path";
import { findAccount, findGroup } from "./accounts.ts";
import type { Config, Limits, RecipientsConfig } from "./config.ts";
import * as defaults from "./defaults.ts";
import type { NumberKey } from "./number-keys.ts";
import { limitKeys, workerKeys } from "./number-keys.ts";
import { formatNumber } from "./settings.ts";
import { shown } from "./problems.ts";
import type { Settings } from "./schema.ts";
import type { Path } from "./toml.ts";

export interface Environment {
  /** Relative paths are relative to it. */
  readonly directory: string;
  readonly isRoot: boolean;
  readonly note: (path: Path, text: string) => void;
}

type Numbers = Readonly<Record<string, number | undefined>>;

function withDefaults<T extends object>(
  keys: Readonly<Record<keyof T, NumberKey>>,
  given: Numbers | undefined,
  otherwise: T,
): T {
  const rows = Object.entries<NumberKey>(keys).map(([field, { key }]) => [
    field,
    given?.[key] ?? otherwise[field as keyof T],
  ]);
  return Object.fromEntries(rows) as T;
}

/** The first is never above the second: its default follows a lower one, a given value is refused. */
const ordered: readonly (readonly [keyof Limits, keyof Limits])[] = [
  ["connectionsPerClientMax", "connectionsMax"],
  ["errorsSoft", "errorsHard"],
  ["stressErrorsHard", "errorsHard"],
  ["stressCommandMs", "commandMs"],
  ["commandMs", "sessionMs"],
  ["unusedMs", "sessionMs"],
  ["headerBytesMax", "messageBytesMax"],
];

function composeLimits(given: Numbers | undefined, { note }: Environment): Limits {
  const limits = { ...withDefaults<Limits>(limitKeys, given, defaults.limitDefaults) };
  // From the outside in, so that what follows a limit follows its final value.
  for (const [lower, upper] of ordered.toReversed()) {
    if (limits[lower] <= limits[upper]) continue;
    const lowerKey = limitKeys[lower].key;
    const upperKey = limitKeys[upper];
    if (given?.[lowerKey] === undefined) limits[lower] = limits[upper];
    else {
      const value = formatNumber(upperKey, limits[upper]);
      note(["limits", lowerKey], `must not be above limits.${upperKey.key} (${value})`);
    }
  }
  return limits;
}

function composeOwner(text: string | undefined, env: Environment): RecipientsConfig["owner"] {
  if (text === undefined) return defaults.ownerDefault(env.isRoot);
  const [accountName = "", groupName, ...rest] = text.split(":");
  const isNumeric = /^\d{1,10}$/.test(accountName);
  const account = isNumeric ? undefined : findAccount(accountName);
  const uid = isNumeric ? Number(accountName) : account?.uid;
  const groupGid =
    groupName !== undefined && /^\d{1,10}$/.test(groupName)
      ? Number(groupName)
      : findGroup(groupName ?? "")?.gid;
  const gid = groupName === undefined ? account?.gid : groupGid;
  if (uid !== undefined && gid !== undefined && rest.length === 0) return { uid, gid };
  env.note(
    ["recipients", "owner"],
    uid === undefined || rest.length > 0
      ? `there is no account ${shown(accountName)}`
      : `there is no group ${shown(groupName ?? accountName)}`,
  );
  return undefined;
}

function composeRecipients(given: Settings["recipients"], env: Environment): RecipientsConfig {
  const { users } = given;
  const domains = [...new Set(given.domains)];
  if (domains.length < given.domains.length) {
    env.note(["recipients", "domains"], "names a domain twice");
  }
  return {
    domains,
    users:
      typeof users === "object"
        ? { lines: users }
        : users === "system"
          ? users
          : { file: resolve(env.directory, users) },
    aliasesFile: given.aliases === undefined ? undefined : resolve(env.directory, given.aliases),
    catchAll: given.catch_all,
    // Without one the load looks for it: see `postmasterOf`.
    postmaster: given.postmaster ?? "",
    detailSeparator: given.detail_separator ?? defaults.detailSeparatorDefault,
    mailbox: given.mailbox ?? defaults.mailboxDefault,
    owner: composeOwner(given.owner, env),
    quotaBytes: given.quota ?? 0,
  };
}

function composeListen(given: Settings["listen"]): Config["listen"] {
  if (given === undefined) return defaults.listenDefaults;
  return [
    ...(given.smtp ?? []).map((each) => ({ protocol: "smtp" as const, ...each })),
    ...(given.lmtp ?? []).map((each) => ({ protocol: "lmtp" as const, ...each })),
  ];
}

export function compose(settings: Settings, env: Environment): Config {
  const absolute = (path: string): string => resolve(env.directory, path);
  const { spool, tls, log, metrics } = settings;
  return {
    hostname: settings.hostname ?? defaults.hostnameDefault(),
    user: settings.user ?? defaults.userDefault(env.isRoot),
    listen: composeListen(settings.listen),
    spool: {
      store: absolute(spool?.store ?? defaults.storeDefault),
      mount: absolute(spool?.mount ?? defaults.mountDefault),
      binding: spool?.binding ?? "auto",
      reclaim: spool?.reclaim ?? true,
    },
    tls:
      tls === undefined
        ? undefined
        : { certificate: absolute(tls.certificate), key: absolute(tls.key) },
    recipients: composeRecipients(settings.recipients, env),
    share: settings.share ?? "multi",
    bareNewline: settings.bare_newline ?? "normalize",
    limits: composeLimits(settings.limits, env),
    workers: withDefaults(workerKeys, settings.workers, defaults.workerDefaults()),
    proxyFrom: settings.proxy_from ?? [],
    xclientFrom: settings.xclient_from ?? [],
    log: {
      level: log?.level ?? "info",
      file: log?.file === undefined ? undefined : absolute(log.file),
    },
    metrics: metrics === "off" ? undefined : (metrics ?? defaults.metricsDefault),
  };
}
