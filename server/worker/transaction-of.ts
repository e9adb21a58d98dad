/** A session's state as the plain data of a transaction. */
import type { DsnRequest, Transaction } from "../delivery/transaction.ts";
import type { Session } from "../smtp/session.ts";

export function transactionOf(session: Session): Transaction {
  const { connection, cipher } = session;
  const { envelope, transmissionType } = connection.session;
  const { clientHostname } = connection;
  const hasName = typeof clientHostname === "string" && !clientHostname.startsWith("[");
  return {
    id: `${session.id}.${session.limits.messages + 1}`,
    sender: envelope.mailFrom === false ? "" : envelope.mailFrom.address,
    recipients: session.recipients.map(({ recipient }) => recipient),
    client: {
      address: session.clientAddress,
      name: hasName ? clientHostname : undefined,
      helo: session.helo ?? "",
      protocol: envelope.smtpUtf8 ? utf8Type(transmissionType) : transmissionType,
      tls: cipher === undefined ? undefined : `${cipher.version} ${cipher.name}`,
    },
    time: new Date(),
    isSpam: false,
    dsn: dsnOf(session),
  };
}

/** What goes into a line of the log is not up to the client. */
const DSN_RECIPIENTS_MAX = 10;

function dsnOf(session: Session): DsnRequest | undefined {
  const { dsn } = session.connection.session.envelope;
  const recipients = session.recipients.flatMap(({ address }) => {
    if (address.dsn === undefined) return [];
    const { notify, orcpt } = address.dsn;
    return [{ address: address.address, notify, orcpt }];
  });
  const ret = dsn?.ret ?? undefined;
  const envid = dsn?.envid ?? undefined;
  if (ret === undefined && envid === undefined && recipients.length === 0) return undefined;
  return { ret, envid, recipients: recipients.slice(0, DSN_RECIPIENTS_MAX) };
}

/** RFC 6531 section 4.3: "UTF8SMTP", "UTF8SMTPS", "UTF8LMTP" and "UTF8LMTPS". */
function utf8Type(type: string): string {
  return `UTF8${type.replace(/^E/, "")}`;
}
