/* PyTorch's cpuinfo, and its thread pool without the loops, which libraries.py writes. */
#include <cpuinfo.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "standins.h"

void absent(const char *name) {
    fprintf(stderr, "run: ExecuTorch called %s, which is not on the device\n", name);
    fflush(stderr);
    _Exit(1);
}

/* Bits of AT_HWCAP and AT_HWCAP2, as arch/arm64/include/uapi/asm/hwcap.h of Linux numbers them. */
enum { ATOMICS = 8, FPHP = 9, ASIMDHP = 10, ASIMDRDM = 12, JSCVT = 13, FCMA = 14, ASIMDDP = 20, ASIMDFHM = 23 };
enum { I8MM = 13, BF16 = 14 };

struct cpuinfo_arm_isa cpuinfo_isa;

/* SVE and SME are left out: no processor here could test the kernels that they choose. */
bool cpuinfo_initialize(void) {
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    cpuinfo_isa.atomics = first >> ATOMICS & 1;
    cpuinfo_isa.fp16arith = first >> FPHP & first >> ASIMDHP & 1;
    cpuinfo_isa.rdm = first >> ASIMDRDM & 1;
    cpuinfo_isa.jscvt = first >> JSCVT & 1;
    cpuinfo_isa.fcma = first >> FCMA & 1;
    cpuinfo_isa.dot = first >> ASIMDDP & 1;
    cpuinfo_isa.fhm = first >> ASIMDFHM & 1;
    cpuinfo_isa.i8mm = second >> I8MM & 1;
    cpuinfo_isa.bf16 = second >> BF16 & 1;
    return true;
}

/* One processor of a kind that XNNPACK does not know: it then takes the kernels for out-of-order cores. */
static const struct cpuinfo_core core;
static const struct cpuinfo_cluster cluster;
static const struct cpuinfo_package package;
static const struct cpuinfo_processor processor = {.core = &core, .cluster = &cluster, .package = &package};
static const struct cpuinfo_uarch_info uarch = {.processor_count = 1, .core_count = 1};

const struct cpuinfo_processor *cpuinfo_get_processor(uint32_t index) { return index ? NULL : &processor; }
uint32_t cpuinfo_get_processors_count(void) { return 1; }
const struct cpuinfo_uarch_info *cpuinfo_get_uarch(uint32_t index) { return index ? NULL : &uarch; }
uint32_t cpuinfo_get_uarchs_count(void) { return 1; }

/* A pool of the calling thread alone, and so without a state. */
static char pool;

pthreadpool_t pthreadpool_create(size_t threads) {
    (void)threads;
    return (pthreadpool_t)&pool;
}

pthreadpool_t pthreadpool_create_v2(struct pthreadpool_executor *executor, void *context, size_t threads) {
    (void)executor, (void)context, (void)threads;
    return (pthreadpool_t)&pool;
}

void pthreadpool_destroy(pthreadpool_t destroyed) { (void)destroyed; }

size_t pthreadpool_get_threads_count(pthreadpool_t asked) {
    (void)asked;
    return 1;
}

void pthreadpool_release_executor_threads(struct pthreadpool *released) { (void)released; }

bool pthreadpool_update_executor(pthreadpool_t updated, struct pthreadpool_executor *executor, void *context) {
    (void)updated, (void)executor, (void)context;
    return false;
}

/* The library was built with a newer compiler, whose C++ library prepares std::cout by itself; Debian's waits
 * for std::ios_base::Init::Init() from each library that uses it. */
void _ZSt21ios_base_library_initv(void) {}

void _ZNSt8ios_base4InitC1Ev(void *made);

__attribute__((constructor)) static void prepare_streams(void) {
    static char made; /* std::ios_base::Init has no members */
    _ZNSt8ios_base4InitC1Ev(&made);
}
