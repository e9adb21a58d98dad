/**
 * The operation `deliver`: finds every file of the request, checks what the caller may, and hands the
 * mailboxes to fs/delivery/. From there to the commit nothing else runs, so what was found is still so.
 */
import { isRegular, S_ISGID } from "../attributes.ts";
import type { Delivery, Mailbox, Ownership } from "../delivery/deliveries.ts";
import { inGroup, MAY_WRITE, mayAccess, mayCreateIn } from "../permissions.ts";
import type { Extent } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { HintsContext, Requester } from "./context.ts";
import { withCopies } from "./copies.ts";
import { ALL_RIGHTS, DeliverPlaces } from "./deliver-account.ts";
import type { DeliverRequest, NewMailbox } from "./deliver-request.ts";
import { givenPath, readDeliver } from "./deliver-request.ts";
import type { Frame } from "./frame.ts";
import { notAFile, PathWalker } from "./path-walker.ts";
import type { Reason, Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { collectShared } from "./shared-pieces.ts";

export async function deliver(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Promise<Answer | Refusal> {
  const request = readDeliver(frame);
  if (isRefusal(request)) return request;
  if (!request.copies || request.paths.length === 1) {
    return deliverWith(context, requester, frame, request, []);
  }
  return withCopies(context, requester, frame, request, (copies) =>
    deliverWith(context, requester, frame, request, copies),
  );
}

/** `copies`: what each file but the first gets in place of the shared bytes; none: all get these. */
async function deliverWith(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
  request: DeliverRequest,
  copies: readonly (readonly Extent[])[],
): Promise<Answer | Refusal> {
  const shared = collectShared(requester, request);
  if ("reason" in shared) return shared;
  const mailboxes = new MailboxFinder(context, requester).findAll(request);
  if (!Array.isArray(mailboxes)) {
    return { reason: mailboxes.reason, path: givenPath(frame, mailboxes.index) };
  }
  const delivery: Delivery = {
    body: frame.body,
    sharedLength: request.inlineLength,
    shared,
    copies,
    mailboxes,
    privateLengths: request.privateLengths,
  };
  const result = await requester.commits(() => context.deliveries.deliver(delivery));
  if ("refused" in result) {
    return { reason: result.refused, path: givenPath(frame, result.index) };
  }
  for (const piece of request.shared) {
    if (piece.type === "unit") requester.units.linked(piece.token);
  }
  return { delivered: result.delivered, pending: result.pending };
}

/** The files of one request, and whether its caller may deliver to them. */
class MailboxFinder {
  readonly #context: HintsContext;
  readonly #requester: Requester;
  readonly #ordinary: PathWalker;
  /** For the deliver account, inside its places. */
  readonly #places: DeliverPlaces | undefined;
  readonly #unhindered: PathWalker | undefined;

  constructor(context: HintsContext, requester: Requester) {
    const { store, deliverAccount } = context;
    this.#context = context;
    this.#requester = requester;
    this.#ordinary = new PathWalker(store, requester.opener);
    if (deliverAccount === undefined || deliverAccount.uid !== requester.opener.uid) return;
    this.#places = new DeliverPlaces(store, deliverAccount);
    this.#unhindered = new PathWalker(store, ALL_RIGHTS);
  }

  findAll(request: DeliverRequest): Mailbox[] | { reason: Reason; index: number } {
    const { paths, creates } = request;
    const mailboxes: Mailbox[] = [];
    for (let index = 0; index < paths.length; index++) {
      const found = this.#find(paths[index] as string, creates[index]);
      if (typeof found === "string") return { reason: found, index };
      mailboxes.push(found);
    }
    return mailboxes;
  }

  #find(path: string, create: NewMailbox | undefined): Mailbox | Reason {
    let walker = this.#ordinary;
    let mayAll = false;
    let reason: Reason | undefined;
    if (this.#unhindered !== undefined && this.#places !== undefined) {
      walker = this.#unhindered;
      reason = walker.resolve(path);
      mayAll = this.#places.contains(reason === undefined ? walker.parent : walker.endedIn);
      if (!mayAll) walker = this.#ordinary;
    }
    if (!mayAll) reason = walker.resolve(path);
    if (reason !== undefined) return reason;
    const { parent, name, inode } = walker;
    if (inode === undefined) {
      if (create === undefined) return "notFound";
      return this.#newMailbox(parent, name, create, mayAll);
    }
    if (!isRegular(inode.mode)) return notAFile(walker) as Reason;
    if (!mayAll && !mayAccess(inode, this.#requester.opener, MAY_WRITE)) return "noWrite";
    return { parent, name, inode, create: undefined };
  }

  #newMailbox(parent: number, name: string, create: NewMailbox, mayAll: boolean): Mailbox | Reason {
    const { opener } = this.#requester;
    const directory = this.#context.store.inode(parent) as Inode;
    if (!mayAll && !mayCreateIn(directory, opener)) return "noCreate";
    const inherited = (directory.mode & S_ISGID) !== 0 ? directory.gid : opener.gid;
    const { mode, uid = opener.uid, gid = inherited } = create;
    const owner: Ownership = { mode, uid, gid };
    if (!mayAll && opener.uid !== 0) {
      if (uid !== opener.uid) return "ownerNotAllowed";
      if (gid !== inherited && !inGroup(opener, gid)) return "ownerNotAllowed";
    }
    return { parent, name, inode: undefined, create: owner };
  }
}
