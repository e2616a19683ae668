/* Counts the instructions that qemu-aarch64 executes, by kind: a plugin for QEMU's TCG (its plugin interface 1).
 *
 *     qemu-aarch64 -plugin file=counter.so,out=ROWS PROGRAM
 *
 * A mark is a call of write with the file descriptor MARK, which no program has open, so that the system refuses it.
 * At each mark the counts so far go to ROWS, KINDS little-endian 64-bit numbers in the order of `enum kind`. The
 * Python side is vitconv.runtimes.android.instruction_counts, the marking one runner.c.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The part of QEMU's public plugin interface that is used here, so that its header isn't needed. */
typedef uint64_t plugin_id;
struct block;
struct instruction;
typedef void OnBlock(plugin_id, struct block *);
typedef void OnSystemCall(plugin_id, unsigned cpu, int64_t number, uint64_t first, uint64_t, uint64_t, uint64_t,
                          uint64_t, uint64_t, uint64_t, uint64_t);
enum { INLINE_ADD_U64 = 0 };
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, OnBlock *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, OnSystemCall *);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern const void *qemu_plugin_insn_data(const struct instruction *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { WRITE = 64, MARK = -7619 };

enum kind { LOAD, STORE, MULTIPLY_ADD, DOT_PRODUCT, I8MM, OTHER_SIMD, OTHER, KINDS };
static uint64_t counts[KINDS];
static FILE *rows;

/* --- what an instruction is: fixed bits of its encoding, from the Arm Architecture Reference Manual --- */

#define IS(word, mask, bits) (((word) & (mask)) == (bits))

static enum kind memory_kind(uint32_t word) {
    uint32_t upper = word >> 30, option = (word >> 22) & 3;
    int simd = (word >> 26) & 1;
    if (IS(word, 0x3B000000, 0x18000000)) /* relative to the program counter, a prefetch among them */
        return !simd && upper == 3 ? OTHER : LOAD;
    if (IS(word, 0x3A000000, 0x38000000)) { /* one register */
        if (!simd && IS(word, 0x01200000, 0x00200000) && !IS(word, 0x00000C00, 0x00000800))
            return LOAD; /* an atomic change of memory, or an authenticated load */
        if (!simd && upper == 3 && option == 2) return OTHER; /* a prefetch */
        return (simd ? option & 1 : option != 0) ? LOAD : STORE;
    }
    if (IS(word, 0x3F200C00, 0x19000000)) return option ? LOAD : STORE; /* ordered, with an offset */
    if (IS(word, 0x3FA00000, 0x08A00000)) return LOAD;                  /* compare and swap */
    return option & 1 ? LOAD : STORE; /* pairs, structures of vectors, exclusive and ordered ones */
}

static enum kind simd_kind(uint32_t word) {
    if (IS(word, 0xDFE0F400, 0x4E80A400)) return I8MM;            /* SMMLA, UMMLA, USMMLA */
    if (IS(word, 0x9FE0FC00, 0x0E809400)        /* SDOT, UDOT */
        || IS(word, 0x9FC0F400, 0x0F80E000)     /* the same with one element */
        || IS(word, 0xBFE0FC00, 0x0E809C00)     /* USDOT */
        || IS(word, 0xBF40F400, 0x0F00F000))    /* USDOT, SUDOT with one element */
        return DOT_PRODUCT;
    if (IS(word, 0xBF20FC00, 0x0E20CC00)        /* FMLA, FMLS: float */
        || IS(word, 0xBF60FC00, 0x0E400C00)     /* the same of half precision */
        || IS(word, 0xBF80B400, 0x0F801000)     /* with one element */
        || IS(word, 0xBFC0B400, 0x0F001000)     /* with one element, half precision */
        || IS(word, 0xFF000000, 0x1F000000)     /* FMADD, FMSUB, FNMADD, FNMSUB: of one number */
        || IS(word, 0x9F20FC00, 0x0E209400)     /* MLA, MLS: integers */
        || IS(word, 0xBF00B400, 0x2F000000)     /* the same with one element */
        || IS(word, 0x9F20DC00, 0x0E208000)     /* SMLAL, UMLAL, SMLSL, UMLSL */
        || IS(word, 0x9F00B400, 0x0F002000))    /* the same with one element */
        return MULTIPLY_ADD;
    return OTHER_SIMD;
}

static enum kind kind_of(uint32_t word) {
    uint32_t group = (word >> 25) & 15;
    if ((group & 5) == 4) return memory_kind(word);
    if ((group & 7) == 7) return simd_kind(word);
    return group == 2 ? OTHER_SIMD : OTHER; /* 2: scalable vectors */
}

/* --- counting --- */

static void on_block(plugin_id id, struct block *block) {
    (void)id;
    size_t size = qemu_plugin_tb_n_insns(block);
    uint64_t inside[KINDS] = {0};
    for (size_t i = 0; i < size; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        inside[kind_of(word)]++;
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (inside[kind]) qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts[kind], inside[kind]);
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t b, uint64_t c,
                           uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != WRITE || (int32_t)first != MARK) return;
    fwrite(counts, sizeof counts, 1, rows);
    fflush(rows);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *about, int count, char **arguments) {
    (void)about;
    if (count != 1 || strncmp(arguments[0], "out=", 4) != 0) return 1;
    rows = fopen(arguments[0] + 4, "wb");
    if (!rows) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
