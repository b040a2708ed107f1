/* ONNX Runtime through OrtGetApiBase, with its default CPU kernels.
 *
 * OrtApi is a table of functions that only ever grows at its end (onnxruntime_c_api.h), so the places of the
 * few that are needed, all of its first version, stand for the header, which no wheel brings.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "support.h"

const char *const engine_name = "onnxruntime";

enum { API_VERSION = 1, LOG_FATAL = 4, ARENA_ALLOCATOR = 1, MEMORY_DEFAULT = 0, MOST_DIMENSIONS = 16 };

typedef void *handle;
typedef handle status; /* NULL where all is well */

struct api_base {
    void *const *(*get_api)(uint32_t version);
    const char *(*version)(void);
};

#define FUNCTIONS(X)                                                                                     \
    X(2, const char *, GetErrorMessage, (status))                                                        \
    X(3, status, CreateEnv, (int, const char *, handle *))                                               \
    X(7, status, CreateSession, (handle, const char *, handle, handle *))                                \
    X(9, status, Run,                                                                                    \
      (handle, handle, const char *const *, const handle *, size_t, const char *const *, size_t, handle *)) \
    X(10, status, CreateSessionOptions, (handle *))                                                      \
    X(24, status, SetIntraOpNumThreads, (handle, int))                                                   \
    X(25, status, SetInterOpNumThreads, (handle, int))                                                   \
    X(30, status, SessionGetInputCount, (handle, size_t *))                                              \
    X(31, status, SessionGetOutputCount, (handle, size_t *))                                             \
    X(33, status, SessionGetInputTypeInfo, (handle, size_t, handle *))                                   \
    X(36, status, SessionGetInputName, (handle, size_t, handle, char **))                                \
    X(37, status, SessionGetOutputName, (handle, size_t, handle, char **))                               \
    X(49, status, CreateTensorWithDataAsOrtValue,                                                        \
      (handle, void *, size_t, const int64_t *, size_t, int, handle *))                                  \
    X(51, status, GetTensorMutableData, (handle, void **))                                               \
    X(55, status, CastTypeInfoToTensorInfo, (handle, handle *))                                          \
    X(60, status, GetTensorElementType, (handle, int *))                                                 \
    X(61, status, GetDimensionsCount, (handle, size_t *))                                                \
    X(62, status, GetDimensions, (handle, int64_t *, size_t))                                            \
    X(64, status, GetTensorShapeElementCount, (handle, size_t *))                                        \
    X(65, status, GetTensorTypeAndShape, (handle, handle *))                                             \
    X(69, status, CreateCpuMemoryInfo, (int, int, handle *))                                             \
    X(78, status, GetAllocatorWithDefaultOptions, (handle *))                                            \
    X(96, void, ReleaseValue, (handle))                                                                  \
    X(99, void, ReleaseTensorTypeAndShapeInfo, (handle))

#define DECLARE(place, returned, name, parameters) static returned(*name) parameters;
FUNCTIONS(DECLARE)

#define CHECK(call, doing)                                                                \
    do {                                                                                  \
        status failed = (call);                                                           \
        if (failed) fail("ONNX Runtime cannot %s: %.300s", doing, GetErrorMessage(failed)); \
    } while (0)

static handle environment, session, input, output;
static char *input_name, *output_name;
static void *input_data;
static size_t input_bytes;

void engine_start(const char *library) {
    void *loaded = dlopen(library, RTLD_NOW);
    if (!loaded) fail("%s cannot be loaded: %s", library, dlerror());
    const struct api_base *(*get_base)(void);
    *(void **)&get_base = dlsym(loaded, "OrtGetApiBase");
    if (!get_base) fail("%s has no function OrtGetApiBase: it is not ONNX Runtime", library);
    void *const *table = get_base()->get_api(API_VERSION);
    if (!table) fail("%s has no C API of version %d", library, API_VERSION);
#define FIND(place, returned, name, parameters) *(void **)&name = table[place];
    FUNCTIONS(FIND)
    /* It logs every error that it also returns, unless told to log only what ends the process. */
    CHECK(CreateEnv(LOG_FATAL, "run", &environment), "start");
}

/* Bytes of an element of an ONNXTensorElementDataType; 0 for those that have no fixed size. */
static size_t element_bytes(int type) {
    static const size_t sizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8};
    return type >= 0 && type < (int)(sizeof sizes / sizeof *sizes) ? sizes[type] : 0;
}

static void make_input(const char *model) {
    handle type, shape, memory;
    int64_t dimensions[MOST_DIMENSIONS];
    size_t rank, elements = 1;
    int element;
    CHECK(SessionGetInputTypeInfo(session, 0, &type), "tell the input's type");
    CHECK(CastTypeInfoToTensorInfo(type, &shape), "tell the input's type");
    CHECK(GetTensorElementType(shape, &element), "tell the input's type");
    CHECK(GetDimensionsCount(shape, &rank), "tell the input's shape");
    if (rank > MOST_DIMENSIONS) fail("the input of %s has %zu dimensions", model, rank);
    CHECK(GetDimensions(shape, dimensions, rank), "tell the input's shape");
    for (size_t axis = 0; axis < rank; axis++) {
        if (dimensions[axis] < 1) fail("the input of %s has no fixed shape", model);
        elements *= (size_t)dimensions[axis];
    }
    input_bytes = elements * element_bytes(element);
    if (!input_bytes) fail("the input of %s has an element type (%d) that cannot be fed", model, element);
    if (posix_memalign(&input_data, 64, input_bytes)) fail("no memory for the input");
    CHECK(CreateCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, &memory), "describe memory");
    CHECK(CreateTensorWithDataAsOrtValue(memory, input_data, input_bytes, dimensions, rank, element, &input),
          "make the input");
}

void engine_open(const char *model, int threads) {
    handle options, allocator;
    size_t inputs, outputs;
    CHECK(CreateSessionOptions(&options), "make options");
    CHECK(SetIntraOpNumThreads(options, threads), "set the number of threads");
    CHECK(SetInterOpNumThreads(options, 1), "set the number of threads");
    CHECK(CreateSession(environment, model, options, &session), "load the model");
    CHECK(SessionGetInputCount(session, &inputs), "count inputs");
    CHECK(SessionGetOutputCount(session, &outputs), "count outputs");
    if (inputs != 1 || outputs != 1)
        fail("%s has %zu inputs and %zu outputs; one of each can be run", model, inputs, outputs);
    CHECK(GetAllocatorWithDefaultOptions(&allocator), "allocate");
    CHECK(SessionGetInputName(session, 0, allocator, &input_name), "name the input");
    CHECK(SessionGetOutputName(session, 0, allocator, &output_name), "name the output");
    make_input(model);
}

void engine_set_input(const void *data, size_t bytes) {
    if (bytes != input_bytes) fail("the input has %zu bytes, and the model takes %zu", bytes, input_bytes);
    memcpy(input_data, data, bytes);
}

void engine_run(void) {
    const char *inputs[] = {input_name}, *outputs[] = {output_name};
    CHECK(Run(session, NULL, inputs, &input, 1, outputs, 1, &output), "run the model");
}

void engine_after_run(void) {
    /* An app takes its output from ONNX Runtime, too, which allocates one where it finds none. */
    ReleaseValue(output);
    output = NULL;
}

const void *engine_output(size_t *bytes) {
    handle shape;
    size_t elements;
    int element;
    void *data;
    CHECK(GetTensorTypeAndShape(output, &shape), "tell the output's shape");
    CHECK(GetTensorShapeElementCount(shape, &elements), "tell the output's shape");
    CHECK(GetTensorElementType(shape, &element), "tell the output's type");
    ReleaseTensorTypeAndShapeInfo(shape);
    CHECK(GetTensorMutableData(output, &data), "give the output");
    *bytes = elements * element_bytes(element);
    return data;
}
