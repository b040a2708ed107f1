/* The measuring loop: the same for every runtime, and the same rule as mobilevit_deploy/bench/sampling.py.
 *
 * A sample is one `engine_run()`: from an input that lies in the runtime's own buffer to a complete output.
 * Copying the input there, reading the output and releasing it are outside. Clock: CLOCK_MONOTONIC, in ns.
 */
#pragma once

#include <stddef.h>

/* When a warm-up is over; the numbers come from the host, so that the rule has one home. */
struct warmup_rule {
    size_t window;      /* inferences whose medians are compared */
    double speeding_up; /* still warming up while the later median is below this share of the earlier one */
    double least_ms;    /* never before */
    double most_ms;     /* in any case after */
    size_t most;        /* or after so many inferences */
};

struct timing {
    double load_ms;  /* opening the model, for the first time in this process; file in the system's cache */
    double first_ms; /* the first inference */
    double *warmup_ms;
    size_t warmup_count;
    double *samples_ms;
    size_t samples_count;
};

/* Open the model, and time `samples` steady inferences on `input`, of `bytes` bytes. */
struct timing measure(const char *model, int threads, const void *input, size_t bytes,
                      const struct warmup_rule *rule, size_t samples);
