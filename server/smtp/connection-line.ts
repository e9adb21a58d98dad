/** What the log says of a connection that has ended. */
import type { ConnectionLine } from "../log/lines.ts";
import { monotonicMs } from "../monotonic.ts";
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
    ms: Math.round(monotonicMs() - session.startedAt),
    role,
    ...(cipher === undefined ? {} : { tls: `${cipher.version} ${cipher.name}` }),
  };
}

/** Of a connection that was refused before there was a session. */
export function turnedAwayLine(session: string, client: string, end: SessionEnd): ConnectionLine {
  const none = { helo: undefined, messages: 0, refused: 0, errors: 0, ms: 0 };
  return { session, client, end, ...none, role: "front" };
}
