/** The configurations that dialogues run with, by the name in their `server` line. */
import type { MailServerSettings } from "../system/mail-server.ts";

const users = [...Array.from({ length: 20 }, (_, i) => `user${i + 1}`), "jörg"];
const recipients = { domains: ["example.test", "grün.test"], users };
const aliases = ["team: user2, user3, user2@example.test"];

export const servers: Readonly<Record<string, MailServerSettings>> = {
  default: { hasTls: true, tables: { recipients }, aliases },
  /** Limits that a dialogue can reach. */
  tight: {
    tables: {
      recipients,
      limits: {
        greeting_delay: "200ms",
        recipients_max: 5,
        messages_max: 3,
        idle_commands_max: 12,
        errors_soft: 3,
        errors_hard: 6,
        message_size_max: 20_000,
        line_size_max: 2_000,
        header_size_max: 4_096,
        header_fields_max: 100,
      },
    },
  },
  /** Who talks first is refused at once, so the delay may be longer than a busy machine is late. */
  late: { tables: { limits: { greeting_delay: "2s" } } },
  /** Little time, but more than a busy machine is late. */
  hasty: { tables: { limits: { command_timeout: "3s", unused_timeout: "3s" } } },
  /** A session is over before its client has been silent for too long. */
  brief: { tables: { limits: { command_timeout: "7s", session_timeout: "10s" } } },
  few: { tables: { limits: { connections_per_client_max: 2 } } },
  /** Behind a proxy; and clients that may say for whom they speak. */
  proxied: { isProxied: true, tables: { "": { proxy_from: ["127.0.0.1"] } } },
  xclient: { tables: { "": { xclient_from: ["127.0.0.0/8"] } } },
  quota: {
    tables: {
      recipients: {
        users: ["user1", "small quota=2KiB", "other"],
        catch_all: "other",
      },
    },
  },
  reject: { tables: { "": { bare_newline: "reject" } } },
};
