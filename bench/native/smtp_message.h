/*
 * The messages that the SMTP load generator sends: as a mail program writes them, all of one size, each with a
 * Message-ID of its own.
 */
#ifndef ONESPOOL_BENCH_SMTP_MESSAGE_H
#define ONESPOOL_BENCH_SMTP_MESSAGE_H

#include "load.h"

#define MESSAGE_ID_DIGITS 20
#define MESSAGE_LINE_BYTES 74
#define MESSAGE_HEADER_BYTES_MAX 1024

struct message_template {
	char *bytes; /* with CRLF, without the final dot */
	size_t length;
	size_t id_at;
	uint64_t nonce;
};

/* The lines are text that a store cannot shorten much, and none of them begins with a dot or "From ". */
static inline size_t message_body(char *at, size_t length, uint64_t seed)
{
	static const char letters[] = "etaoinshrdlucmfwypvbgk ETAOINS0123456789 e t a o i n s h ";
	size_t done = 0;

	while (length - done >= 4) {
		size_t line = length - done - 2 < MESSAGE_LINE_BYTES ? length - done - 2
								     : MESSAGE_LINE_BYTES;

		/* What is left for the next line is a whole line too, or nothing. */
		if (length - done - 2 - line > 0 && length - done - 2 - line < 4)
			line -= 4;
		at[done++] = '|';
		for (size_t i = 1; i < line; i++)
			at[done++] = letters[draw(&seed) % (sizeof(letters) - 1)];
		at[done++] = '\r';
		at[done++] = '\n';
	}
	return done;
}

static inline void message_prepare(struct message_template *message, size_t size,
				   const char *sender, const char *domain)
{
	char date[64], header[MESSAGE_HEADER_BYTES_MAX];
	time_t now = time(NULL);
	struct timespec precise;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &precise);
	message->nonce = (uint64_t)precise.tv_sec * 1000000000u + (uint64_t)precise.tv_nsec;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime(&now));
	length = (size_t)snprintf(
		header, sizeof(header),
		"Message-ID: <%0*d.%016" PRIx64 "@%s>\r\n"
		"Date: %s\r\n"
		"From: \"Load Generator\" <%s>\r\n"
		"To: undisclosed-recipients:;\r\n"
		"Subject: A message that somebody sends to many people\r\n"
		"MIME-Version: 1.0\r\n"
		"User-Agent: smtp_load\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"Content-Transfer-Encoding: 7bit\r\n"
		"\r\n",
		MESSAGE_ID_DIGITS, 0, message->nonce, domain, date, sender);
	if (length >= sizeof(header) || size < length + 4) {
		fprintf(stderr, "smtp_load: a message has at least %zu bytes\n", length + 4);
		exit(2);
	}
	message->bytes = allocate(size);
	memcpy(message->bytes, header, length);
	message->id_at = strlen("Message-ID: <");
	message->length = length + message_body(message->bytes + length, size - length, 1);
}

/* Writes message number `index` and returns its length. */
static inline size_t message_write(const struct message_template *message, char *at,
				   uint64_t index)
{
	memcpy(at, message->bytes, message->length);
	for (size_t i = MESSAGE_ID_DIGITS; i > 0; i--, index /= 10)
		at[message->id_at + i - 1] = (char)('0' + index % 10);
	return message->length;
}

#endif
