/*
 * Append to one open file and fsync it, again and again.
 *
 * append_fsync FILE BYTES SECONDS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "load.h"

static const char *file;
static size_t bytes;

static void work(struct load *load)
{
	char *buffer = allocate(bytes);
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		die(file);
	memset(buffer, 'a', bytes);
	wait_for_start(load);
	while (!time_is_up(load)) {
		double began = now_seconds();
		uint64_t latency;

		if (write(fd, buffer, bytes) != (ssize_t)bytes)
			die("write");
		if (fsync(fd))
			die("fsync");
		load->result->messages++;
		latency = (uint64_t)((now_seconds() - began) * 1e9);
		if (latency > load->result->latency_ns_max)
			load->result->latency_ns_max = latency;
	}
	load->result->seconds = now_seconds() - load->started;
	load->result->deliveries = load->result->messages;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "append_fsync FILE BYTES SECONDS\n");
		return 2;
	}
	file = argv[1];
	bytes = (size_t)atol(argv[2]);
	return run_load(1, atof(argv[3]), 1, work);
}
