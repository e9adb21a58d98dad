/*
 * A small client of the hints, as an example and a tool:
 *
 *   onespool-client MOUNT deliver [-c] FILE MAILBOX...   append FILE to mailboxes, - for standard input;
 *                                                        -c makes those that are missing
 *   onespool-client MOUNT statistics [PATH]
 *
 * MAILBOX and PATH are relative to the root of the mount. It prints the reply, and ends with 0 when the
 * request was carried out, 1 when it was refused, 2 when it could not be made.
 *
 * Build: cc -O2 -Wall -o onespool-client onespool-client.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "onespool.h"

struct bytes {
	char *at;
	size_t length, room;
};

static void die(const char *what)
{
	fprintf(stderr, "onespool-client: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void add(struct bytes *to, const void *from, size_t length)
{
	if (to->length + length > to->room) {
		to->room = 2 * (to->length + length) + 4096;
		to->at = realloc(to->at, to->room);
		if (!to->at)
			die("memory");
	}
	memcpy(to->at + to->length, from, length);
	to->length += length;
}

static void add_text(struct bytes *to, const char *text)
{
	add(to, text, strlen(text));
}

static void add_base64(struct bytes *to, const char *from)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)from;
	size_t left = strlen(from);

	while (left > 0) {
		unsigned int bits = in[0] << 16 | (left > 1 ? in[1] << 8 : 0) | (left > 2 ? in[2] : 0);
		char out[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
				left > 1 ? digits[bits >> 6 & 63] : '=',
				left > 2 ? digits[bits & 63] : '=' };
		size_t taken = left < 3 ? left : 3;

		add(to, out, 4);
		in += taken;
		left -= taken;
	}
}

/* "path" where its bytes are themselves in JSON, else "path64". */
static void add_path(struct bytes *to, const char *path)
{
	const char *c = path;

	while (*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\')
		c++;
	add_text(to, *c ? "\"path64\":\"" : "\"path\":\"");
	if (*c)
		add_base64(to, path);
	else
		add_text(to, path);
	add_text(to, "\"");
}

static void add_file(struct bytes *to, const char *name)
{
	int fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	char part[65536];
	ssize_t count;

	if (fd < 0)
		die(name);
	while ((count = read(fd, part, sizeof(part))) > 0)
		add(to, part, (size_t)count);
	if (count < 0)
		die(name);
}

/* Returns 0 when this request or this mount needs the control file's write and read. */
static int by_ioctl(int fd, const struct bytes *request, struct bytes *reply)
{
	struct onespool_hint hint = { .version = ONESPOOL_HINT_VERSION };

	if (request->length > sizeof(hint.bytes))
		return 0;
	hint.length = (uint32_t)request->length;
	memcpy(hint.bytes, request->at, request->length);
	if (ioctl(fd, ONESPOOL_IOC_HINT, &hint) < 0) {
		if (errno == ENOTTY || errno == ENOSYS)
			return 0;
		die("ioctl");
	}
	add(reply, hint.bytes, hint.length);
	return 1;
}

static void by_control_file(int fd, const struct bytes *request, struct bytes *reply)
{
	char part[65536];

	for (size_t done = 0; done < request->length;) {
		ssize_t count = write(fd, request->at + done, request->length - done);

		if (count < 0)
			die("write of the request");
		done += (size_t)count;
	}
	while (reply->length == 0 || reply->at[reply->length - 1] != '\n') {
		ssize_t count = read(fd, part, sizeof(part));

		if (count <= 0)
			die("read of the reply");
		add(reply, part, (size_t)count);
	}
}

static void make_delivery(struct bytes *request, int create, int count, char **arguments)
{
	struct bytes body = { 0 };
	char number[128];

	add_file(&body, arguments[0]);
	snprintf(number, sizeof(number),
		 "{\"op\":\"deliver\",\"bodyBytes\":%zu,\"shared\":[{\"bytes\":%zu}],\"to\":[",
		 body.length, body.length);
	add_text(request, number);
	for (int i = 1; i < count; i++) {
		add_text(request, i > 1 ? ",{" : "{");
		add_path(request, arguments[i]);
		add_text(request, create ? ",\"create\":{\"mode\":384}}" : "}");
	}
	add_text(request, "]}\n");
	add(request, body.at, body.length);
}

static void usage(void)
{
	fprintf(stderr, "usage: onespool-client MOUNT deliver [-c] FILE MAILBOX...\n"
			"       onespool-client MOUNT statistics [PATH]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct bytes request = { 0 }, reply = { 0 };
	char control[4096];
	int fd;

	if (argc >= 5 && !strcmp(argv[2], "deliver")) {
		int create = !strcmp(argv[3], "-c");

		if (argc < 5 + create)
			usage();
		make_delivery(&request, create, argc - 3 - create, argv + 3 + create);
	} else if ((argc == 3 || argc == 4) && !strcmp(argv[2], "statistics")) {
		add_text(&request, "{\"op\":\"statistics\"");
		if (argc == 4) {
			add_text(&request, ",");
			add_path(&request, argv[3]);
		}
		add_text(&request, "}\n");
	} else {
		usage();
	}
	snprintf(control, sizeof(control), "%s/%s", argv[1], ONESPOOL_CONTROL_NAME);
	fd = open(control, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(control);
	if (!by_ioctl(fd, &request, &reply))
		by_control_file(fd, &request, &reply);
	fwrite(reply.at, 1, reply.length, stdout);
	return strncmp(reply.at, "{\"ok\":true", 10) ? 1 : 0;
}
