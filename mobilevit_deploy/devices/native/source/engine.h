/* What a runtime implements, so that one measuring loop serves all: a model with one input and one output. */
#pragma once

#include <stddef.h>

/* The runtime's name, as in its results. */
extern const char *const engine_name;

/* Load the runtime's shared library and start it, as an app does once; no model yet. */
void engine_start(const char *library);

/* From the path of a model to a model that is ready to run with `threads` threads, its buffers allocated. */
void engine_open(const char *model, int threads);

/* Copy an input to where the runtime reads it; one that is not of the model's size is refused. */
void engine_set_input(const void *data, size_t bytes);

/* Run once on the input that was set last, until the output is complete. Nothing else happens here: this is
 * what a sample times. */
void engine_run(void);

/* Release what the last run left, so that the next begins as the first did; outside the clock. */
void engine_after_run(void);

/* The output of the last run; valid until `engine_after_run()`. */
const void *engine_output(size_t *bytes);
