/**
 * Limits of matching one WRITE with the bytes that a file had before it. All are bytes unless the name
 * says otherwise. They trade space for time only: a match that is not found is stored again.
 */

/** Bytes that are looked for as a whole. Shorter keys stand at too many places in mail headers. */
export const KEY_LENGTH = 32;
/** A key needs so many different bytes (modulo 32): blanks and rules of dashes stand everywhere. */
export const KEY_DISTINCT_MIN = 5;
/** A match costs an extent (tens of bytes in log, index and memory), so shorter ones do not pay. */
export const MATCH_LENGTH_MIN = 64;
/** At an edge of the data a match may be shorter: the neighbouring write probably goes on with it. */
export const EDGE_MATCH_LENGTH_MIN = 32;
/** The same for bytes that stay where they are at the edges of a write: they cost no extent. */
export const IN_PLACE_EDGE_LENGTH_MIN = 16;

/** Inserted or removed bytes over which the search near the expected place reaches. */
export const EDIT_LENGTH_MAX = 2048;
/** How far behind the end of a match keys are taken for that search. */
export const RESUME_DISTANCE_MAX = 4096;
/** Behind so many new bytes since the last match, "near the expected place" means nothing any more. */
export const GAP_LENGTH_MAX = 8192;
/** The same behind a match that is too long to be chance. */
export const TRUSTED_GAP_LENGTH_MAX = 2 << 20;

/**
 * Bytes that a mover may leave out and write later: Dovecot moves a message's header, then the From_ line before
 * it, then the body behind it.
 */
export const SKIP_LENGTH_MAX = 1024;

/** First ring of the far search. */
export const NEAR_LENGTH = 64 << 10;
/** All rings of the far search of one WRITE. */
export const FAR_LENGTH_MAX = 1 << 20;
/** New bytes behind a match that are taken for an edit, before the far search asks where the content went. */
export const FAR_GAP_MIN = 480;
/** Far searches in vain for one WRITE; those between two matches, which cost little, not counted. */
export const FAR_FAILURES_MAX = 8;
/** A small WRITE is worth less: so many bytes are searched for each of its bytes (but two first rings). */
export const FAR_LENGTH_PER_BYTE = 64;
/** A match of this length ends the far search: it is not a common header line. */
export const FAR_MATCH_LENGTH_SURE = 1024;
/** Data from here on may be a header that was not found nearby. */
export const MESSAGE_LENGTH_MIN = 512;
/** Of a message that begins: there its keys are. */
export const HEADER_LENGTH = 3000;
/** First ring of the search for a message: most that are left out are shorter. */
export const MESSAGE_NEAR_LENGTH = 16 << 10;
/** A match that explains three quarters of the data, or so much of it, ends the search for a message at once, */
export const MESSAGE_MATCH_LENGTH_SURE = 2048;
/** and half of it, or so much, ends it with the ring in which it was found. */
export const MESSAGE_MATCH_LENGTH_GOOD = 1024;
/** Places of one key that are looked at. */
export const OCCURRENCES_MAX = 3;

/** Old bytes are read in blocks of this length to be compared. */
export const READ_BLOCK_LENGTH = 64 << 10;
/** The same while searches are held back: one look whether the bytes are those in place. */
export const READ_BLOCK_LENGTH_QUIET = 4 << 10;
/** Old bytes that are read for one WRITE: FAR_LENGTH_MAX for the search and so much for each byte of data. */
export const READ_PER_BYTE_MAX = 3;
/** What small reads may take on top of that. */
export const READ_SMALL_MAX = 512 << 10;
/** Bytes that are searched for keys or compared for one WRITE before the rest is new, and on top of that for each byte of data. */
export const SEARCHED_MAX = 4 << 20;
export const SEARCHED_PER_BYTE_MAX = 16;

/** Far searches that may fail in a row before they are held back. */
export const FAILURES_FREE = 5;
/** Behind a mover: until so many have failed, each holds the next back only in proportion to its work. */
export const FAILURES_MOVING = 64;
export const SEARCHED_PER_QUIET_BYTE = 32;
/** Written bytes for which the next far search is held back; doubles with each further failure. */
export const QUIET_LENGTH = 16 << 10;
export const QUIET_LENGTH_MAX = 16 << 20;

/** WRITEs shorter than this are looked at together with the bytes written just before. */
export const SHORT_WRITE_LENGTH = 256;
/** So many of these bytes, and of those that they replaced. */
export const CONTEXT_LENGTH_MAX = 96;
/** New bytes after which short WRITEs look again. */
export const CONTEXT_STEP = 16;

/** Shifts of earlier matches that are remembered, and the length that makes one worth it. */
export const SHIFTS_MAX = 4;
export const SHIFT_MATCH_LENGTH_MIN = 256;
