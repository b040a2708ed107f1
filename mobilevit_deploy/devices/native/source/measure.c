#define _GNU_SOURCE
#include "measure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "support.h"

static int64_t now_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now)) fail("there is no monotonic clock");
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double elapsed_ms(int64_t begin, int64_t end) {
    if (end <= begin) fail("the clock went from %lld to %lld ns", (long long)begin, (long long)end);
    return (double)(end - begin) / 1e6;
}

static double timed_run(void) {
    int64_t begin = now_ns();
    engine_run();
    int64_t end = now_ns();
    engine_after_run();
    return elapsed_ms(begin, end);
}

static int ascending(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static double median(const double *values, size_t count, double *scratch) {
    memcpy(scratch, values, count * sizeof *values);
    qsort(scratch, count, sizeof *scratch, ascending);
    return (scratch[(count - 1) / 2] + scratch[count / 2]) / 2;
}

static int steady(const double *taken, size_t count, const struct warmup_rule *rule, double *scratch) {
    if (count < 2 * rule->window) return 0;
    const double *last = taken + count - rule->window, *before = last - rule->window;
    return median(last, rule->window, scratch) >= rule->speeding_up * median(before, rule->window, scratch);
}

static double *durations(size_t count) {
    double *room = calloc(count, sizeof *room);
    if (!room) fail("no memory for %zu samples", count);
    return room;
}

struct timing measure(const char *model, int threads, const void *input, size_t bytes,
                      const struct warmup_rule *rule, size_t samples) {
    struct timing taken = {.warmup_ms = durations(rule->most), .samples_ms = durations(samples)};
    double *scratch = durations(rule->window);
    double spent = 0;

    warm_file(model);
    int64_t begin = now_ns();
    engine_open(model, threads);
    taken.load_ms = elapsed_ms(begin, now_ns());
    engine_set_input(input, bytes);

    taken.first_ms = timed_run();
    while (spent < rule->most_ms && taken.warmup_count < rule->most) {
        if (spent >= rule->least_ms && steady(taken.warmup_ms, taken.warmup_count, rule, scratch)) break;
        double duration = timed_run();
        taken.warmup_ms[taken.warmup_count++] = duration;
        spent += duration;
    }
    for (; taken.samples_count < samples; taken.samples_count++)
        taken.samples_ms[taken.samples_count] = timed_run();
    free(scratch);
    return taken;
}
