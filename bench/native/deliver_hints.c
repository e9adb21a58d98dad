/*
 * Deliver messages through the hints of a mount: each process opens the control file for itself,
 * writes one whole request (a line of JSON, then the shared bytes, then each recipient's private
 * bytes) and reads the reply, which comes when the delivery is durable.
 *
 * deliver_hints MOUNTPOINT PROCESSES RECIPIENTS MAILBOXES SECONDS SEED SHARED PRIVATE [MESSAGES]
 *
 * With MESSAGES each process delivers that many, however long it takes, and SECONDS is a limit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "load.h"

/* Requests are made before the start; a long measurement begins again with the first. */
#define PREPARED_BYTES_MAX (48u << 20)
#define REPLY_BYTES_MAX (1u << 20)

static char control[4096];
static uint32_t recipients, mailboxes, shared_bytes, private_bytes;
static uint64_t messages_max;

struct request {
	char *bytes;
	size_t length;
};

static void prepare(struct request *request, const uint32_t *to, uint64_t salt)
{
	size_t body = shared_bytes + (size_t)recipients * private_bytes;
	size_t room = 128 + (size_t)recipients * 64 + body;
	char *at = request->bytes = allocate(room);

	at += sprintf(at, "{\"op\":\"deliver\",\"shared\":[{\"bytes\":%" PRIu32 "}],\"to\":[",
		      shared_bytes);
	for (uint32_t i = 0; i < recipients; i++) {
		char name[PATH_LENGTH];

		mailbox_name(name, to[i]);
		at += sprintf(at, "%s{\"path\":\"%s\",\"privateBytes\":%" PRIu32 "}", i ? "," : "",
			      name, private_bytes);
	}
	at += sprintf(at, "],\"bodyBytes\":%zu}\n", body);
	memset(at, 'm', shared_bytes);
	memcpy(at, &salt, shared_bytes < sizeof(salt) ? shared_bytes : sizeof(salt));
	memset(at + shared_bytes, 'p', body - shared_bytes);
	request->length = (size_t)(at - request->bytes) + body;
	request->bytes = realloc(request->bytes, request->length);
}

static void work(struct load *load)
{
	size_t request_bytes = shared_bytes + recipients * ((size_t)private_bytes + 48) + 128;
	uint32_t count = (uint32_t)(PREPARED_BYTES_MAX / request_bytes) + 1;
	uint32_t *stamps = allocate(sizeof(*stamps) * mailboxes);
	uint32_t *to = allocate(sizeof(*to) * recipients);
	struct request *requests;
	char *reply = allocate(REPLY_BYTES_MAX);
	int fd = open(control, O_RDWR | O_CLOEXEC);
	uint64_t done = 0;

	if (fd < 0)
		die(control);
	if (messages_max && count > messages_max)
		count = (uint32_t)messages_max;
	requests = allocate(sizeof(*requests) * count);
	for (uint32_t m = 0; m < count; m++) {
		draw_recipients(&load->seed, stamps, m + 1, mailboxes, to, recipients);
		prepare(&requests[m], to, draw(&load->seed));
	}
	wait_for_start(load);
	for (uint32_t m = 0; !time_is_up(load) && (!messages_max || done < messages_max);
	     m = (m + 1) % count) {
		double began = now_seconds();
		uint64_t latency;
		ssize_t length;

		if (write(fd, requests[m].bytes, requests[m].length) != (ssize_t)requests[m].length)
			die("write of a request");
		length = read(fd, reply, REPLY_BYTES_MAX - 1);
		if (length <= 0)
			die("read of a reply");
		reply[length] = 0;
		if (!strstr(reply, "\"ok\":true")) {
			fprintf(stderr, "refused: %.300s\n", reply);
			_exit(1);
		}
		done++;
		latency = (uint64_t)((now_seconds() - began) * 1e9);
		if (latency > load->result->latency_ns_max)
			load->result->latency_ns_max = latency;
	}
	load->result->seconds = now_seconds() - load->started;
	load->result->messages = done;
	load->result->deliveries = done * recipients;
	if (messages_max && done < messages_max) {
		fprintf(stderr, "only %" PRIu64 " of %" PRIu64 " messages in time\n", done,
			messages_max);
		_exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 9 && argc != 10) {
		fprintf(stderr, "deliver_hints MOUNTPOINT PROCESSES RECIPIENTS MAILBOXES SECONDS SEED "
				"SHARED PRIVATE [MESSAGES]\n");
		return 2;
	}
	snprintf(control, sizeof(control), "%s/.onespool", argv[1]);
	recipients = (uint32_t)atoi(argv[3]);
	mailboxes = (uint32_t)atoi(argv[4]);
	shared_bytes = (uint32_t)atoi(argv[7]);
	private_bytes = (uint32_t)atoi(argv[8]);
	messages_max = argc == 10 ? strtoull(argv[9], NULL, 10) : 0;
	return run_load(atoi(argv[2]), atof(argv[5]), strtoull(argv[6], NULL, 10), work);
}
