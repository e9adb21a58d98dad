/** The limits of the hint protocol. Each has its own refusal in refusals.ts and a line in docs/HINTS.md. */

/** Goes up when a request or a reply changes its meaning. */
export const HINT_VERSION = 1;

/** Bytes of a request's JSON, its newline included. */
export const LINE_BYTES_MAX = 4 * 1024 * 1024;
/** Raw bytes behind the JSON. */
export const BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Files that one request delivers to. */
export const FILES_MAX = 10_000;
/** Units named in one request, pieces of the shared bytes, and lengths of one `write`. */
export const UNITS_NAMED_MAX = 4_096;
/** Bytes of one file's own in a delivery. */
export const PRIVATE_BYTES_MAX = 64 * 1024;
/** Extents that one request adds to files: a 64 MiB message to 4,000 files, or a short one to any number. */
export const EXTENTS_ADDED_MAX = 1_048_576;
/** Bytes that one delivery with `copies` writes besides the shared ones themselves. */
export const COPIES_BYTES_MAX = 256 * 1024 * 1024;
/** Bytes and extents that one `share` takes. */
export const SHARE_BYTES_MAX = 256 * 1024 * 1024;
export const SHARE_EXTENTS_MAX = 65_536;
/** Pieces that one `who` tells of, about; the reply says where to go on. */
export const WHO_PIECES_MAX = 2_048;
/** Bytes of a path; PATH_MAX counts a NUL byte besides. */
export const PATH_BYTES_MAX = 4_095;
/** Symbolic links followed for one path, as the kernel limits them. */
export const LINKS_FOLLOWED_MAX = 40;

/** Names looked at for the paths of one request, those that a directory's path is found by again not counted. */
export const PATH_STEPS_MAX = 200_000;

/** Requests of one open of the control file whose replies have not been read to their end. */
export const REQUESTS_WAITING_MAX = 8;
/** Bytes of requests not yet answered: of one user (not of root), and of everybody. */
export const REQUEST_BYTES_PER_USER_MAX = 128 * 1024 * 1024;
export const REQUEST_BYTES_MAX = 512 * 1024 * 1024;

/** Bytes written and not linked: of one session, of one user (not of root), of the deliver account, and of everybody. */
export const UNLINKED_BYTES_PER_SESSION_MAX = 64 * 1024 * 1024;
export const UNLINKED_BYTES_PER_USER_MAX = 128 * 1024 * 1024;
export const UNLINKED_BYTES_OF_DELIVER_ACCOUNT_MAX = 768 * 1024 * 1024;
export const UNLINKED_BYTES_MAX = 1024 * 1024 * 1024;
/** What a unit of the store counts for at least: what is known of it costs memory, however short it is. */
export const UNLINKED_BYTES_PER_UNIT_MIN = 512;
/** Tokens that one session may hold. */
export const TOKENS_PER_SESSION_MAX = 4_096;
/** Seconds after a session's last `write`, when bytes that no file got are forgotten. */
export const UNLINKED_SECONDS_MAX = 600;
