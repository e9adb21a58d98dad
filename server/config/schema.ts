/**
 * The file's shape: tables, keys and what each may be. Its output has the file's names; `load.ts` makes a
 * Config of it. What needs a second value or the machine to judge is in `checks.ts`.
 */
import * as v from "valibot";
import type { NumberKey } from "./number-keys.ts";
import { limitKeys, workerKeys } from "./number-keys.ts";
import { shown } from "./problems.ts";
import {
  choice,
  domain,
  endpoint,
  endpointText,
  flag,
  hostname,
  networks,
  number,
  setting,
  text,
} from "./settings.ts";
import { templateProblem } from "../recipients/mailbox-path.ts";
import { readBytes } from "./values.ts";

type NumberSchemas = Record<string, v.OptionalSchema<ReturnType<typeof number>, undefined>>;

function numbers(keys: Readonly<Record<string, NumberKey>>): NumberSchemas {
  return Object.fromEntries(
    Object.values(keys).map((each) => [each.key, v.optional(number(each))]),
  );
}

function table<T extends v.ObjectEntries>(entries: T) {
  return v.object(entries, "must be a table");
}

function list<T extends v.GenericSchema>(item: T) {
  return v.array(item, "must be an array");
}

const file = text("the path of a file");
const user = text("the name of an account");

const metrics = setting<v.InferOutput<typeof endpoint> | "off">(
  `${endpointText}, or "off"`,
  (value) => {
    if (value === "off") return { value };
    const read = v.safeParse(endpoint, value);
    return read.success ? { value: read.output } : undefined;
  },
);

const users = setting<string | readonly string[]>(
  '"system", the path of a users file, or an array of users',
  (value) => {
    if (typeof value === "string" && value !== "") return { value };
    const isLines = Array.isArray(value) && value.every((each) => typeof each === "string");
    return isLines ? { value } : undefined;
  },
);

const mailbox = setting<string>("a template", (value) => {
  if (typeof value !== "string") return undefined;
  const problem = templateProblem(value);
  return problem === undefined ? { value } : `${shown(value)}: ${problem}`;
});

const separator = setting<string>('one character, as "+", or ""', (value) =>
  typeof value === "string" && /^[!#$%&'*+\-/=?^_`{|}~.]?$/.test(value) ? { value } : undefined,
);

const quota = setting<number>('a size ("100MiB", 0 for none)', (value) => {
  const bytes = typeof value === "string" ? readBytes(value) : value;
  const isSize = typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= 0;
  return isSize ? { value: bytes } : undefined;
});

export const schema = table({
  hostname: v.optional(hostname),
  user: v.optional(user),
  share: v.optional(choice("spam", "multi", "off")),
  bare_newline: v.optional(choice("normalize", "reject")),
  proxy_from: v.optional(networks),
  xclient_from: v.optional(networks),
  metrics: v.optional(metrics),
  listen: v.optional(table({ smtp: v.optional(list(endpoint)), lmtp: v.optional(list(endpoint)) })),
  spool: v.optional(
    table({
      store: v.optional(text("the path of a directory")),
      mount: v.optional(text("the path of a directory")),
      binding: v.optional(choice("auto", "kernel", "fuse-native")),
      reclaim: v.optional(flag),
    }),
  ),
  tls: v.optional(table({ certificate: file, key: file })),
  recipients: table({
    domains: v.pipe(list(domain), v.minLength(1, "must name at least one domain")),
    users,
    aliases: v.optional(file),
    catch_all: v.optional(text("a user or an alias")),
    postmaster: v.optional(text("a user or an alias")),
    detail_separator: v.optional(separator),
    mailbox: v.optional(mailbox),
    owner: v.optional(text('an account, or account and group ("vmail:mail")')),
    quota: v.optional(quota),
  }),
  limits: v.optional(table(numbers(limitKeys))),
  workers: v.optional(table(numbers(workerKeys))),
  log: v.optional(
    table({ level: v.optional(choice("debug", "info", "warn", "error")), file: v.optional(file) }),
  ),
});

export type Settings = v.InferOutput<typeof schema>;

/** Keys that a table of the schema may have, by the path of the table; "" is the top of the file. */
export function allowedKeys(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>([["", Object.keys(schema.entries)]]);
  for (const [name, entry] of Object.entries(schema.entries)) {
    const inner: v.GenericSchema = "wrapped" in entry ? entry.wrapped : entry;
    if (inner.type !== "object") continue;
    found.set(name, Object.keys((inner as v.ObjectSchema<v.ObjectEntries, undefined>).entries));
  }
  return found;
}
