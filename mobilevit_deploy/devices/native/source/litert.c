/* LiteRT 2 through the C functions that libLiteRt.so exports; its CPU path, XNNPACK.
 *
 * Declared by hand from litert/c of google-ai-edge/LiteRT 2.x: the wheel brings the library without headers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "support.h"

const char *const engine_name = "litert";

enum { STATUS_OK = 0, ACCELERATOR_CPU = 1, LOCK_READ = 0, LOCK_WRITE = 1 };
typedef int status;
typedef void *handle;
typedef size_t position;

#define MOST_DIMENSIONS 8

struct layout {
    unsigned rank : 7;
    bool has_strides : 1;
    int32_t dimensions[MOST_DIMENSIONS];
    uint32_t strides[MOST_DIMENSIONS];
};

struct tensor_type {
    int element;
    struct layout layout;
};

#define FUNCTIONS(X)                                                                              \
    X(LiteRtCreateEnvironment, (int, const void *, handle *))                                     \
    X(LiteRtCreateModelFromFile, (handle, const char *, handle *))                                \
    X(LiteRtCreateOptions, (handle *))                                                            \
    X(LiteRtSetOptionsHardwareAccelerators, (handle, int))                                        \
    X(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), handle *))              \
    X(LiteRtAddOpaqueOptions, (handle, handle))                                                   \
    X(LiteRtCreateCompiledModel, (handle, handle, handle, handle *))                              \
    X(LiteRtGetModelSignature, (handle, position, handle *))                                      \
    X(LiteRtGetNumSignatureInputs, (handle, position *))                                          \
    X(LiteRtGetNumSignatureOutputs, (handle, position *))                                         \
    X(LiteRtGetSignatureInputTensorByIndex, (handle, position, handle *))                         \
    X(LiteRtGetSignatureOutputTensorByIndex, (handle, position, handle *))                        \
    X(LiteRtGetRankedTensorType, (handle, struct tensor_type *))                                  \
    X(LiteRtGetCompiledModelInputBufferRequirements, (handle, position, position, handle *))      \
    X(LiteRtGetCompiledModelOutputBufferRequirements, (handle, position, position, handle *))     \
    X(LiteRtCreateManagedTensorBufferFromRequirements,                                            \
      (handle, const struct tensor_type *, handle, handle *))                                     \
    X(LiteRtLockTensorBuffer, (handle, void **, int))                                             \
    X(LiteRtUnlockTensorBuffer, (handle))                                                         \
    X(LiteRtGetTensorBufferPackedSize, (handle, size_t *))                                        \
    X(LiteRtRunCompiledModel, (handle, position, size_t, handle *, size_t, handle *))

#define DECLARE(name, parameters) static status(*name) parameters;
FUNCTIONS(DECLARE)

#define CHECK(call, ...)                                                                \
    do {                                                                                \
        status returned = (call);                                                       \
        if (returned != STATUS_OK) fail(__VA_ARGS__, returned);                         \
    } while (0)

#define SIGNATURE 0

static handle environment, compiled, input, output;

void engine_start(const char *library) {
    void *loaded = dlopen(library, RTLD_NOW);
    if (!loaded) fail("%s cannot be loaded: %s", library, dlerror());
#define FIND(name, parameters)               \
    *(void **)&name = dlsym(loaded, #name);  \
    if (!name) fail("%s has no function %s: it is of another version", library, #name);
    FUNCTIONS(FIND)
    CHECK(LiteRtCreateEnvironment(0, NULL, &environment), "LiteRT cannot start (status %d)");
}

/* On the CPU, with XNNPACK, as the interpreter of the same library runs it by default. */
static handle cpu_options(int threads) {
    handle options, xnnpack;
    char *toml = malloc(64); /* LiteRT frees it */
    if (!toml) fail("no memory for options");
    snprintf(toml, 64, "num_threads = %d\n", threads);
    CHECK(LiteRtCreateOptions(&options), "LiteRT cannot make options (status %d)");
    CHECK(LiteRtSetOptionsHardwareAccelerators(options, ACCELERATOR_CPU), "LiteRT has no CPU path (status %d)");
    CHECK(LiteRtCreateOpaqueOptions("xnnpack", toml, free, &xnnpack), "LiteRT cannot make options (status %d)");
    CHECK(LiteRtAddOpaqueOptions(options, xnnpack), "LiteRT refused %d threads (status %d)", threads);
    return options;
}

static void check_signature(handle signature, const char *model) {
    position inputs, outputs;
    CHECK(LiteRtGetNumSignatureInputs(signature, &inputs), "%s has no inputs (status %d)", model);
    CHECK(LiteRtGetNumSignatureOutputs(signature, &outputs), "%s has no outputs (status %d)", model);
    if (inputs != 1 || outputs != 1)
        fail("%s has %zu inputs and %zu outputs; one of each can be run", model, inputs, outputs);
}

static handle buffer(handle tensor, handle requirements, const char *model) {
    struct tensor_type type;
    handle made;
    CHECK(LiteRtGetRankedTensorType(tensor, &type), "%s has a tensor of unknown shape (status %d)", model);
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &made),
          "LiteRT has no buffer for %s (status %d)", model);
    return made;
}

void engine_open(const char *path, int threads) {
    handle model, signature, tensor, requirements;
    CHECK(LiteRtCreateModelFromFile(environment, path, &model), "LiteRT cannot load %s (status %d)", path);
    CHECK(LiteRtGetModelSignature(model, SIGNATURE, &signature), "%s has no signature (status %d)", path);
    check_signature(signature, path);
    CHECK(LiteRtCreateCompiledModel(environment, model, cpu_options(threads), &compiled),
          "LiteRT cannot prepare %s (status %d)", path);

    CHECK(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), "%s has no input (status %d)", path);
    CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled, SIGNATURE, 0, &requirements),
          "LiteRT has no buffer for %s (status %d)", path);
    input = buffer(tensor, requirements, path);
    CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "%s has no output (status %d)", path);
    CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled, SIGNATURE, 0, &requirements),
          "LiteRT has no buffer for %s (status %d)", path);
    output = buffer(tensor, requirements, path);
}

static size_t packed_bytes(handle tensor) {
    size_t bytes;
    CHECK(LiteRtGetTensorBufferPackedSize(tensor, &bytes), "LiteRT does not know a buffer's size (status %d)");
    return bytes;
}

void engine_set_input(const void *data, size_t bytes) {
    void *room;
    size_t wanted = packed_bytes(input);
    if (bytes != wanted) fail("the input has %zu bytes, and the model takes %zu", bytes, wanted);
    CHECK(LiteRtLockTensorBuffer(input, &room, LOCK_WRITE), "LiteRT refused the input (status %d)");
    memcpy(room, data, bytes);
    CHECK(LiteRtUnlockTensorBuffer(input), "LiteRT refused the input (status %d)");
}

void engine_run(void) {
    CHECK(LiteRtRunCompiledModel(compiled, SIGNATURE, 1, &input, 1, &output), "LiteRT failed (status %d)");
}

void engine_after_run(void) {} /* The output's buffer is used again. */

const void *engine_output(size_t *bytes) {
    void *data;
    *bytes = packed_bytes(output);
    CHECK(LiteRtLockTensorBuffer(output, &data, LOCK_READ), "LiteRT gives no output (status %d)");
    CHECK(LiteRtUnlockTensorBuffer(output), "LiteRT gives no output (status %d)");
    return data;
}
