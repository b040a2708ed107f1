/* A TCG plugin of QEMU (API version 1) that counts instructions between marks of the program it runs.
 *
 * A mark is prctl(0x4d424e43, TAG), which a kernel refuses at once: see devices/native/source/main.c. For each,
 * a line "TAG COUNT" goes to the file named by out=FILE, COUNT being all instructions so far.
 *
 * Counting is exact for one thread; the counter is not locked between several. Declared by hand from
 * qemu-plugin.h, which Debian does not package with qemu-user.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define PRCTL 167 /* on aarch64 */
#define MARK 0x4d424e43

enum inline_operation { ADD_U64 };
typedef uint64_t plugin_id;
struct qemu_plugin_tb;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, enum inline_operation operation,
                                              void *counter, uint64_t amount);
typedef void syscall_callback(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t second,
                              uint64_t third, uint64_t fourth, uint64_t fifth, uint64_t sixth,
                              uint64_t seventh, uint64_t eighth);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, syscall_callback *called);

EXPORTED int qemu_plugin_version = 1;

static uint64_t instructions;
static FILE *marks;

/* A block counts as a whole as it is entered; a system call always ends one, so marks lie between blocks. */
static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t second, uint64_t third,
                   uint64_t fourth, uint64_t fifth, uint64_t sixth, uint64_t seventh, uint64_t eighth) {
    (void)id, (void)cpu, (void)third, (void)fourth, (void)fifth, (void)sixth, (void)seventh, (void)eighth;
    if (number != PRCTL || first != MARK) return;
    fprintf(marks, "%" PRIu64 " %" PRIu64 "\n", second, instructions);
    fflush(marks); /* the program may leave without QEMU's consent */
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int index = 0; index < argc; index++)
        if (!strncmp(argv[index], "out=", 4)) marks = fopen(argv[index] + 4, "w");
    if (!marks) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
