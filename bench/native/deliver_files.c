/*
 * Deliver messages into the mailbox files of a directory as a mail server without a spool would:
 * open(O_APPEND), one write, and
 *   fsync   fsync and close each file before the next, or
 *   syncfs  close each file and end the message with one syncfs(2): the cheapest durable way.
 *
 * deliver_files fsync|syncfs DIRECTORY PROCESSES RECIPIENTS MAILBOXES SECONDS SEED SHARED PRIVATE
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include "load.h"

/* Recipients are drawn before the start; a long measurement begins again with the first. */
#define PREPARED_BYTES_MAX (32u << 20)

static const char *directory;
static int by_syncfs;
static uint32_t recipients, mailboxes, delivery_bytes;

static void append(int directory_fd, const char *name, const char *bytes)
{
	int fd = openat(directory_fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		die(name);
	if (write(fd, bytes, delivery_bytes) != (ssize_t)delivery_bytes)
		die("write");
	if (!by_syncfs && fsync(fd))
		die("fsync");
	if (close(fd))
		die("close");
}

static void work(struct load *load)
{
	uint32_t count = PREPARED_BYTES_MAX / (recipients * PATH_LENGTH);
	uint32_t *stamps = allocate(sizeof(*stamps) * mailboxes);
	uint32_t *to = allocate(sizeof(*to) * recipients);
	char(*names)[PATH_LENGTH] = allocate((size_t)count * recipients * PATH_LENGTH);
	char *bytes = allocate(delivery_bytes);
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t appended = 0;

	if (directory_fd < 0)
		die(directory);
	memset(bytes, 'm', delivery_bytes);
	for (uint32_t m = 0; m < count; m++) {
		draw_recipients(&load->seed, stamps, m + 1, mailboxes, to, recipients);
		for (uint32_t i = 0; i < recipients; i++)
			mailbox_name(names[(size_t)m * recipients + i], to[i]);
	}
	wait_for_start(load);
	for (uint32_t m = 0; !time_is_up(load); m = (m + 1) % count) {
		double began = now_seconds();
		uint64_t latency;

		for (uint32_t i = 0; i < recipients; i++) {
			append(directory_fd, names[(size_t)m * recipients + i], bytes);
			appended++;
			/* With fsync, each delivery counts for itself: a thousand may take longer than
			 * the measurement. */
			if (!by_syncfs && time_is_up(load))
				break;
		}
		if (by_syncfs && syncfs(directory_fd))
			die("syncfs");
		latency = (uint64_t)((now_seconds() - began) * 1e9);
		if (latency > load->result->latency_ns_max)
			load->result->latency_ns_max = latency;
	}
	load->result->seconds = now_seconds() - load->started;
	load->result->deliveries = appended;
	load->result->messages = appended / recipients;
}

int main(int argc, char **argv)
{
	if (argc != 10) {
		fprintf(stderr, "deliver_files fsync|syncfs DIRECTORY PROCESSES RECIPIENTS MAILBOXES "
				"SECONDS SEED SHARED PRIVATE\n");
		return 2;
	}
	by_syncfs = strcmp(argv[1], "syncfs") == 0;
	directory = argv[2];
	recipients = (uint32_t)atoi(argv[4]);
	mailboxes = (uint32_t)atoi(argv[5]);
	delivery_bytes = (uint32_t)(atoi(argv[8]) + atoi(argv[9]));
	return run_load(atoi(argv[3]), atof(argv[6]), strtoull(argv[7], NULL, 10), work);
}
