/*
 * Hints to a onespool mount through ioctl(2), on the control file MOUNT/.onespool or any other open file
 * of the mount (kernel binding only; fuse-native answers ENOTTY). docs/HINTS.md is the reference.
 *
 * In: one line of JSON, its newline, and the body that the line's "bodyBytes" announces; `length` bytes
 * in all. Out: the reply, one line of JSON. A request that was refused is a reply too, with "ok": false;
 * ioctl(2) itself fails with
 *   ENOTTY      not a onespool file, or a binding without ioctl
 *   EOPNOTSUPP  another version of this protocol
 *   EINVAL      length is more than the struct holds
 *   EPERM       the descriptor belongs to another user's conversation
 *
 * A FUSE ioctl of this kind carries at most 16,383 bytes each way: the size field of a command has 14
 * bits. A longer request is written to the control file instead, and its reply read from there.
 */
#ifndef ONESPOOL_H
#define ONESPOOL_H

#include <stdint.h>
#include <sys/ioctl.h>

#define ONESPOOL_CONTROL_NAME ".onespool"
#define ONESPOOL_HINT_VERSION 1
#define ONESPOOL_HINT_BYTES_MAX 16368

struct onespool_hint {
	uint32_t version;
	uint32_t length;
	char bytes[ONESPOOL_HINT_BYTES_MAX];
};

#define ONESPOOL_IOC_HINT _IOWR('O', 1, struct onespool_hint)

#endif
