/** What the log says of a connection that has ended. */
import type { ConnectionLine } from "../log/lines.ts";
import type { SessionEnd } from "./session-role.ts";
import type { Session } from "./session.ts";

export function connectionLine(
  session: Session,
  end: SessionEnd,
  role: ConnectionLine["role"],
): ConnectionLine {
  const { cipher } = session;
  const { messages, errors } = session.limits.counts;
  return {
    session: session.id,
    client: session.clientAddress,
    helo: session.helo,
    end,
    messages,
    refused: session.refusedRecipients,
    errors,
    ms: Date.now() - session.startedAt,
    role,
    ...(cipher === undefined ? {} : { tls: `${cipher.version} ${cipher.name}` }),
  };
}
