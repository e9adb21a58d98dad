/** What waits for a lock that somebody holds on a mailbox, for the metric and the warning in the log. */
import { HintClient } from "../../fs/hints/client.ts";

export interface PendingAge {
  /** Deliveries. */
  readonly pending: number;
  /** Since the oldest of them came; 0 without any. */
  readonly oldestSeconds: number;
}

/**
 * For root, the deliver account, and the one who serves the mount; for others it seems that nothing waits. Rejects
 * when there is no spool.
 */
export async function pendingAge(mount: string): Promise<PendingAge> {
  const client = await HintClient.open(mount);
  try {
    const { pending = 0, oldestPendingSeconds = 0 } = await client.statistics();
    return { pending, oldestSeconds: oldestPendingSeconds };
  } finally {
    await client.close();
  }
}
