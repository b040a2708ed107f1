/* ExecuTorch, through the C++ functions that the Python extension in its wheel exports.
 *
 * Linked to that library, not loaded: C++ has no names to look up by hand. Compiled against the headers of the
 * same wheel, of which no function that is called here takes or gives a type of the C++ standard library: the
 * wheel's library has GNU's, the compiler another.
 */
/* The one function that an inline function of the compiler's C++ library would call in its compiled part. */
#define _LIBCPP_VERBOSE_ABORT(...) __builtin_abort()

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <executorch/runtime/core/data_loader.h>
#include <executorch/runtime/core/exec_aten/exec_aten.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

extern "C" {
#include "engine.h"
#include "support.h"
}

using namespace executorch::runtime;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

extern "C" const char *const engine_name = "executorch";

namespace {

constexpr size_t CACHE_LINE = 64;
constexpr char METHOD[] = "forward";

void check(Error error, const char *doing, const char *model) {
    if (error != Error::Ok) fail("ExecuTorch cannot %s %s (error 0x%" PRIx32 ")", doing, model, uint32_t(error));
}

uint8_t *aligned(size_t bytes, size_t alignment = CACHE_LINE) {
    void *room = nullptr;
    if (posix_memalign(&room, alignment < sizeof room ? sizeof room : alignment, bytes ? bytes : 1))
        fail("no memory for %zu bytes", bytes);
    return static_cast<uint8_t *>(room);
}

/* The file mapped, as ExecuTorch's own MmapDataLoader has it, for which the wheel brings no header. */
class File : public DataLoader {
  public:
    explicit File(const char *path) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        struct stat found;
        if (file < 0 || fstat(file, &found)) fail("%s cannot be opened: %s", path, strerror(errno));
        bytes_ = size_t(found.st_size);
        void *mapped = bytes_ ? mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
        if (mapped == MAP_FAILED) fail("%s cannot be read: %s", path, strerror(errno));
        begin_ = static_cast<const uint8_t *>(mapped);
        close(file);
    }

    Result<FreeableBuffer> load(size_t offset, size_t size, const SegmentInfo &) const override {
        if (!holds(offset, size)) return Error::InvalidProgram;
        return FreeableBuffer(begin_ + offset, size, nullptr);
    }

    Error load_into(size_t offset, size_t size, const SegmentInfo &, void *buffer) const override {
        if (!holds(offset, size)) return Error::InvalidProgram;
        memcpy(buffer, begin_ + offset, size);
        return Error::Ok;
    }

    Result<size_t> size() const override { return bytes_; }

  private:
    /* A truncated file is an error, not a crash. */
    bool holds(size_t offset, size_t size) const { return offset <= bytes_ && size <= bytes_ - offset; }

    const uint8_t *begin_;
    size_t bytes_;
};

/* What a method keeps as long as it lives, which is as long as the process. */
class Kept : public MemoryAllocator {
  public:
    Kept() : MemoryAllocator(0, nullptr) {}
    void *allocate(size_t size, size_t alignment) override { return aligned(size, alignment); }
};

/* What a method needs during a run. */
class Lent : public MemoryAllocator {
  public:
    Lent() : MemoryAllocator(0, nullptr) {}

    void *allocate(size_t size, size_t alignment) override {
        size_t head = alignment < sizeof(Block) ? sizeof(Block) : alignment;
        uint8_t *room = aligned(head + size, alignment);
        last_ = new (room) Block{last_};
        return room + head;
    }

    void reset() override {
        while (last_) free(std::exchange(last_, last_->before));
    }

  private:
    struct Block {
        Block *before;
    };
    Block *last_ = nullptr;
};

Lent *lent;
Method *method;
Tensor *input;

HierarchicalAllocator *planned_memory(const MethodMeta &meta, const char *model) {
    size_t count = meta.num_memory_planned_buffers();
    auto *buffers = new Span<uint8_t>[count];
    for (size_t index = 0; index < count; index++) {
        Result<int64_t> bytes = meta.memory_planned_buffer_size(index);
        check(bytes.error(), "load", model);
        buffers[index] = {aligned(size_t(*bytes)), size_t(*bytes)};
    }
    return new HierarchicalAllocator({buffers, count});
}

/* The method keeps pointers to the shape and to the data. */
Tensor *input_tensor(const MethodMeta &meta, const char *model) {
    Result<TensorInfo> info = meta.input_tensor_meta(0);
    check(info.error(), "load", model);
    size_t rank = info->sizes().size();
    auto *sizes = reinterpret_cast<int32_t *>(aligned(rank * sizeof(int32_t)));
    auto *order = aligned(rank);
    memcpy(sizes, info->sizes().data(), rank * sizeof *sizes);
    memcpy(order, info->dim_order().data(), rank);
    auto *strides = reinterpret_cast<int32_t *>(aligned(rank * sizeof(int32_t)));
    int32_t stride = 1;
    for (size_t place = rank; place-- > 0; stride *= sizes[order[place]]) strides[order[place]] = stride;
    return new Tensor(
        new TensorImpl(info->scalar_type(), ssize_t(rank), sizes, aligned(info->nbytes()), order, strides));
}

/* Where the model's memory was planned with its input in it, a run may write over the input. */
void give_input() { check(method->set_input(EValue(*input), 0), "take the input of", "the model"); }

} // namespace

void engine_start(const char *library) {
    if (!dlopen(library, RTLD_NOW | RTLD_NOLOAD)) fail("%s cannot be loaded: it is not this runner's own", library);
    runtime_init();
}

void engine_open(const char *model, int threads) {
    if (threads != 1) fail("ExecuTorch runs on 1 thread here, not on %d", threads);
    Result<Program> loaded = Program::load(new File(model));
    check(loaded.error(), "load", model);
    auto *program = new Program(std::move(*loaded));
    Result<MethodMeta> meta = program->method_meta(METHOD);
    check(meta.error(), "load", model);
    if (meta->num_inputs() != 1 || meta->num_outputs() != 1)
        fail("%s has %zu inputs and %zu outputs; one of each can be run", model, meta->num_inputs(),
             meta->num_outputs());
    lent = new Lent;
    Result<Method> ready =
        program->load_method(METHOD, new MemoryManager(new Kept, planned_memory(*meta, model), lent));
    check(ready.error(), "prepare", model);
    method = new Method(std::move(*ready));
    input = input_tensor(*meta, model);
}

void engine_set_input(const void *data, size_t bytes) {
    if (bytes != input->nbytes())
        fail("the input has %zu bytes, and the model takes %zu", bytes, size_t(input->nbytes()));
    memcpy(input->mutable_data_ptr<void>(), data, bytes);
    give_input();
}

void engine_run(void) { check(method->execute(), "run", "the model"); }

void engine_after_run(void) {
    lent->reset();
    give_input();
}

const void *engine_output(size_t *bytes) {
    const Tensor &output = method->get_output(0).toTensor();
    *bytes = output.nbytes();
    return output.const_data_ptr();
}
