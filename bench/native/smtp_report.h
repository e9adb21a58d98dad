/* What the SMTP load generator has seen, and how it is said: one line of JSON, and a line for each kind of error. */
#ifndef ONESPOOL_BENCH_SMTP_REPORT_H
#define ONESPOOL_BENCH_SMTP_REPORT_H

#include <sys/resource.h>
#include "load.h"

#define ERROR_TEXT_BYTES 200

/* Where a conversation stands: the reply that is waited for. An error is of the stage that it meets. */
enum stage {
	STAGE_CONNECT,
	STAGE_GREETING,
	STAGE_EHLO,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_CONTENT,
	STAGE_QUIT,
	STAGE_IDLE,
	STAGES
};

static const char *const stage_names[STAGES] = {
	"connect", "greeting", "ehlo", "mail", "rcpt", "data", "content", "quit", "idle",
};

struct report {
	uint64_t asked, good, refusals_asked, refused, connections;
	uint64_t pipelined; /* connections on which the server offered it and it was used */
	uint64_t errors[STAGES];
	char texts[STAGES][ERROR_TEXT_BYTES]; /* of the first of each */
	uint64_t unfinished;		      /* connections, at the deadline */
	double seconds;
	float *latencies_ms; /* one for each good message */
};

static inline void report_error(struct report *report, enum stage stage, const char *text)
{
	if (report->errors[stage]++ == 0)
		snprintf(report->texts[stage], ERROR_TEXT_BYTES, "%.*s", ERROR_TEXT_BYTES - 1, text);
}

static inline int report_is_clean(const struct report *report)
{
	for (int stage = 0; stage < STAGES; stage++)
		if (report->errors[stage])
			return 0;
	return report->good == report->asked && report->refused == report->refusals_asked &&
	       report->unfinished == 0;
}

static inline int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static inline double percentile(const struct report *report, double share)
{
	if (report->good == 0)
		return 0;
	return (double)report->latencies_ms[(size_t)((double)(report->good - 1) * share)];
}

static inline void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static inline double processor_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static inline void report_print(struct report *report)
{
	const char *separator = "";

	qsort(report->latencies_ms, report->good, sizeof(float), compare_floats);
	printf("{\"seconds\":%.6f,\"asked\":%" PRIu64 ",\"messages\":%" PRIu64
	       ",\"messagesPerSecond\":%.3f,\"refused\":%" PRIu64 ",\"connections\":%" PRIu64
	       ",\"pipelined\":%" PRIu64 ",\"unfinished\":%" PRIu64,
	       report->seconds, report->asked, report->good,
	       report->seconds > 0 ? (double)report->good / report->seconds : 0, report->refused,
	       report->connections, report->pipelined, report->unfinished);
	printf(",\"latencyMs\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}",
	       percentile(report, 0.5), percentile(report, 0.9), percentile(report, 0.99),
	       percentile(report, 1));
	printf(",\"processorSeconds\":%.6f,\"errors\":{", processor_seconds());
	for (int stage = 0; stage < STAGES; stage++) {
		if (!report->errors[stage])
			continue;
		printf("%s\"%s\":{\"count\":%" PRIu64 ",\"text\":", separator, stage_names[stage],
		       report->errors[stage]);
		print_json_string(report->texts[stage]);
		printf("}");
		separator = ",";
		fprintf(stderr, "smtp_load: %s: %" PRIu64 " times, first: %s\n", stage_names[stage],
			report->errors[stage], report->texts[stage]);
	}
	printf("}}\n");
	if (report->good < report->asked)
		fprintf(stderr, "smtp_load: %" PRIu64 " of %" PRIu64 " messages taken\n",
			report->good, report->asked);
	if (report->unfinished)
		fprintf(stderr, "smtp_load: %" PRIu64 " connections unfinished at the deadline\n",
			report->unfinished);
	fflush(stdout);
}

#endif
