/** A Config as the file that would give it, defaults written out. Pure. */
import type { Config, RecipientsConfig } from "./config.ts";
import { limitKeys, workerKeys, type NumberKey } from "./number-keys.ts";
import { formatNumber } from "./settings.ts";
import { formatBytes, formatEndpoint } from "./values.ts";

type Value = string | readonly string[] | number | boolean | undefined;
type Rows = Readonly<Record<string, Value>>;

/** JSON's strings are basic strings of TOML, but for one character. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", String.raw`\u007f`);
}

function formatValue(value: Exclude<Value, undefined>): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") return quote(value);
  const items = value.map(quote);
  const line = `[${items.join(", ")}]`;
  return line.length <= 80 ? line : `[\n${items.map((item) => `  ${item},\n`).join("")}]`;
}

function formatRows(rows: Rows): string {
  return Object.entries(rows)
    .map(([key, value]) => (value === undefined ? "" : `${key} = ${formatValue(value)}\n`))
    .join("");
}

function numbers<T extends object>(keys: Readonly<Record<keyof T, NumberKey>>, values: T): Rows {
  const rows = Object.entries<NumberKey>(keys).map(([field, key]) => {
    const value = values[field as keyof T] as number;
    return [key.key, key.unit === "count" ? value : formatNumber(key, value)];
  });
  return Object.fromEntries(rows) as Rows;
}

function usersOf({ users }: RecipientsConfig): string | readonly string[] {
  if (users === "system") return users;
  return "file" in users ? users.file : users.lines;
}

function recipientsRows(recipients: RecipientsConfig): Rows {
  const { owner } = recipients;
  return {
    domains: recipients.domains,
    users: usersOf(recipients),
    aliases: recipients.aliasesFile,
    catch_all: recipients.catchAll,
    postmaster: recipients.postmaster,
    detail_separator: recipients.detailSeparator,
    mailbox: recipients.mailbox,
    owner: owner === undefined ? undefined : `${owner.uid}:${owner.gid}`,
    quota: formatBytes(recipients.quotaBytes),
  };
}

function listenRows({ listen }: Config): Rows {
  const of = (protocol: "smtp" | "lmtp"): string[] =>
    listen.filter((each) => each.protocol === protocol).map(formatEndpoint);
  return { smtp: of("smtp"), lmtp: of("lmtp") };
}

/** By table; "" is the top of the file. */
export function rowsOf(config: Config): ReadonlyMap<string, Rows> {
  return new Map<string, Rows>([
    [
      "",
      {
        hostname: config.hostname,
        user: config.user,
        share: config.share,
        bare_newline: config.bareNewline,
        proxy_from: config.proxyFrom,
        xclient_from: config.xclientFrom,
        metrics: config.metrics === undefined ? "off" : formatEndpoint(config.metrics),
      },
    ],
    ["listen", listenRows(config)],
    ["spool", { ...config.spool }],
    ["tls", config.tls === undefined ? {} : { ...config.tls }],
    ["recipients", recipientsRows(config.recipients)],
    ["limits", numbers(limitKeys, config.limits)],
    ["workers", numbers(workerKeys, config.workers)],
    ["log", { level: config.log.level, file: config.log.file }],
  ]);
}

export function printConfig(config: Config): string {
  const tables = [...rowsOf(config)].filter(([, rows]) => Object.keys(rows).length > 0);
  return tables
    .map(([table, rows]) => (table === "" ? "" : `[${table}]\n`) + formatRows(rows))
    .join("\n");
}
