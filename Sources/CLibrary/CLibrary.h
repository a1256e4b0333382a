/* The few functions of the C library that v05 calls: memory for scratch space, digits for messages, a logarithm. And what
 * Swift cannot say: lanes of one type made lanes of another, whether any bit of several lanes is set, what is read soon, what
 * the processor has and how it rounds. */
#ifndef V05_CLIBRARY_H
#define V05_CLIBRARY_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* All bits of lane n where byte n is 0, none where not; and whether any bit of all lanes is set. */
#define V05_LANES(word, bits, count, name)                                                                                 \
    typedef word v05_##name##_words __attribute__((ext_vector_type(count)));                                               \
    static inline v05_##name##_words v05_zero_bytes_of_##name(const void *bytes) {                                         \
        typedef int8_t small __attribute__((ext_vector_type(count)));                                                      \
        typedef int##bits##_t large __attribute__((ext_vector_type(count)));                                               \
        small lanes;                                                                                                       \
        memcpy(&lanes, bytes, count);                                                                                      \
        return (v05_##name##_words)__builtin_convertvector(lanes == 0, large);                                             \
    }                                                                                                                      \
    static inline int v05_any_bit_of_##name(v05_##name##_words lanes) { return __builtin_reduce_or(lanes) != 0; }
V05_LANES(uint32_t, 32, 8, eight)
V05_LANES(uint64_t, 64, 4, four)

/* Memory that is read soon comes closer meanwhile. */
static inline void v05_prefetch(const void *memory) { __builtin_prefetch(memory); }

/* Four numbers in the other precision. */
typedef float v05_four_floats __attribute__((ext_vector_type(4)));
typedef double v05_four_doubles __attribute__((ext_vector_type(4)));
static inline v05_four_doubles v05_doubles(v05_four_floats four) { return __builtin_convertvector(four, v05_four_doubles); }
static inline v05_four_floats v05_floats(v05_four_doubles four) { return __builtin_convertvector(four, v05_four_floats); }

/* The processor's mode of arithmetic, which is the host's to choose: directed rounding, numbers near 0 flushed to it, traps at
 * exceptions that are part of every computation with NaN. What is computed between these two is rounded to nearest and traps
 * nothing; then the host has its own mode again. Costs next to nothing where that is the usual one. */
static inline uint64_t v05_begin_arithmetic(void) {
#if defined(__x86_64__)
    /* Of the old floating-point unit, too: the C library asks it how to round digits. */
    const uint32_t flags = 0x3f, usual = 0x1f80;
    const uint16_t usual_word = 0x37f;
    uint32_t host;
    uint16_t word;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(host), "=m"(word));
    if ((host & ~flags) != usual) __asm__ volatile("ldmxcsr %0" : : "m"(usual) : "memory");
    if (word != usual_word) __asm__ volatile("fldcw %0" : : "m"(usual_word) : "memory");
    return host | (uint64_t)word << 32;
#elif defined(__aarch64__)
    uint64_t host;
    __asm__ volatile("mrs %0, fpcr" : "=r"(host));
    if (host != 0) __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return host;
#else
    return 0;
#endif
}
static inline void v05_end_arithmetic(uint64_t host) {
#if defined(__x86_64__)
    const uint32_t flags = 0x3f, usual = 0x1f80, mode = (uint32_t)host;
    const uint16_t word = (uint16_t)(host >> 32), usual_word = 0x37f;
    if ((mode & ~flags) != usual) __asm__ volatile("ldmxcsr %0" : : "m"(mode) : "memory");
    if (word != usual_word) __asm__ volatile("fldcw %0" : : "m"(word) : "memory");
#elif defined(__aarch64__)
    if (host != 0) __asm__ volatile("msr fpcr, %0" : : "r"(host) : "memory");
#endif
}

/* Whether the processor has AVX2 and the operating system keeps its registers; 0 where there is no such thing. */
static inline int v05_has_avx2(void) {
#ifdef __x86_64__
    /* Asked once, since a virtual machine answers slowly: 0 not yet, 1 no, 2 yes. Threads that ask at once agree. */
    static int known;
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (answer == 0) {
        uint32_t a = 0, b = 0, c = 0, d = 0;
        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        answer = 1;
        if (a >= 7) {
            a = 1, c = 0;
            __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
            const uint32_t saved_and_avx = 1u << 27 | 1u << 28;
            if ((c & saved_and_avx) == saved_and_avx) {
                uint32_t low, high;
                __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
                a = 7, c = 0;
                __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
                if ((low & 6) == 6 && (b & 1u << 5)) answer = 2;
            }
        }
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 2;
#else
    return 0;
#endif
}

#endif
