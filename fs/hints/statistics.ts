/**
 * The operation `statistics`. What is stored and what is shared only root learns: from the difference
 * another user could tell whether somebody else has the same message.
 */
import { isRegular } from "../attributes.ts";
import type { Inode } from "../store/state/inode.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { DeliverAccount } from "./deliver-account.ts";
import { ALL_RIGHTS, DeliverPlaces } from "./deliver-account.ts";
import type { Path } from "./fields.ts";
import { fileUse } from "./file-use.ts";
import type { Frame } from "./frame.ts";
import { PathWalker } from "./path-walker.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readStatistics } from "./request.ts";

export function statistics(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Answer | Refusal | Promise<Answer | Refusal> {
  const request = readStatistics(frame);
  if (isRefusal(request)) return request;
  if (request.path !== undefined) return ofFile(context, requester, request.path);
  const { logicalBytes, files, ...others } = context.store.statistics();
  const { pendingNameCount: pendingNames, oldestPendingSeconds } = context.deliveries;
  const waiting = { pendingNames, oldestPendingSeconds };
  if (requester.opener.uid === 0) {
    return { logicalBytes, files, ...others, ...waiting, ...context.store.spaceUse() };
  }
  const { uid } = requester.opener;
  // Through fuse-native everybody is the one who mounted, and the store is his.
  const mayKnow = isDeliverAccount(context, requester) || uid === process.getuid?.();
  if (!mayKnow) return { logicalBytes, files };
  return { logicalBytes, files, pending: others.pending, ...waiting };
}

function isDeliverAccount({ deliverAccount }: HintsContext, { opener }: Requester): boolean {
  return deliverAccount !== undefined && deliverAccount.uid === opener.uid;
}

/**
 * As for stat(2), the caller needs no right on the file, only the way to it; the deliver account needs none to
 * the mailboxes that it may deliver to, for it has to know of full ones.
 */
async function ofFile(
  context: HintsContext,
  requester: Requester,
  path: Path,
): Promise<Answer | Refusal> {
  const walker = new PathWalker(context.store, requester.opener);
  let reason = walker.resolve(path.bytes);
  if (reason !== undefined && isDeliverAccount(context, requester)) {
    const places = new DeliverPlaces(context.store, context.deliverAccount as DeliverAccount);
    const unhindered = new PathWalker(context.store, ALL_RIGHTS);
    if (unhindered.resolve(path.bytes) === undefined && places.contains(unhindered.parent)) {
      const size = unhindered.inode !== undefined && isRegular(unhindered.inode.mode);
      if (size) return { logicalBytes: (unhindered.inode as Inode).size };
      reason = "notFound";
    }
  }
  if (reason !== undefined) return { reason, path: path.given };
  const { inode } = walker;
  if (inode === undefined) return { reason: "notFound", path: path.given };
  const logicalBytes = isRegular(inode.mode) ? inode.size : 0;
  if (requester.opener.uid !== 0) return { logicalBytes };
  return { logicalBytes, ...(await fileUse(context.store, inode.ino)) };
}
