/* Coverage-guided fuzzer of every function of v05.h (libFuzzer). `run` builds and starts it.
 *
 * The input is a program: one byte chooses a function, the bytes after it its arguments. Every array is a malloc
 * block of exactly the length the header asks for, so that AddressSanitizer sees any access beyond it. Every call is
 * made twice: calls without state with other workspace memory, calls on a handle on the handle and on a copy made by
 * save and load. What is checked after each call:
 *   - failure: no output has changed, no handle has changed, the error is filled in;
 *   - success: the error has not changed, and what the header promises of the results holds;
 *   - inputs have not changed, and both calls gave the same bits.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v05.h"

#define CHECK(condition, ...) \
    do { if (!(condition)) broken(__LINE__, #condition, __VA_ARGS__); } while (0)

static const char *current = "";

static const uint8_t *program;
static size_t program_size;
static void describe(void);

/* V05_FUZZ_COLLECT=folder: goes on after a broken promise, and keeps the shortest input for each in the folder. */
static void broken(int line, const char *condition, const char *format, ...) {
    static size_t shortest[4000];
    const char *folder = getenv("V05_FUZZ_COLLECT");
    if (folder && shortest[line % 4000] && shortest[line % 4000] <= program_size) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "\nPROMISE BROKEN by %s (fuzz.c:%d: %s): ", current, line, condition);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    describe();
    if (!folder) abort();
    shortest[line % 4000] = program_size;
    char path[4096];
    snprintf(path, sizeof path, "%s/line-%d", folder, line);
    FILE *file = fopen(path, "wb");
    if (file) { fwrite(program, 1, program_size, file); fclose(file); }
}

/* ---- memory: the Nth allocation of a call can be made to fail (linked with --wrap) ---- */

static int64_t failing_allocation = -1;
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);

static int allocation_fails(void) { return failing_allocation >= 0 && failing_allocation-- == 0; }
void *__wrap_malloc(size_t size) { return allocation_fails() ? NULL : __real_malloc(size); }
void *__wrap_realloc(void *old, size_t size) { return allocation_fails() ? NULL : __real_realloc(old, size); }

/* ---- the input ---- */

typedef struct { const uint8_t *next; size_t left; uint64_t random; int expands; } Reader;

static uint8_t byte(Reader *r) {
    if (r->expands) {
        r->random = r->random * 6364136223846793005u + 1442695040888963407u;
        return (uint8_t)(r->random >> 56);
    }
    if (r->left == 0) return 0;
    r->left--;
    return *r->next++;
}

static int chance(Reader *r, int of256) { return byte(r) > 255 - of256; } /* 0 bytes: no */

static uint64_t word(Reader *r) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | byte(r);
    return value;
}

static double from_bits(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }

static double any_double(Reader *r) {
    static const double table[] = {0, 1, 0.5, -1, 0.25, 2, 1e-6, 1e30, -1e30, 1e31, 1e-300, 5e-324, -0.0,
                                   NAN, INFINITY, -INFINITY, 1.0000005, -0.0000005, 1e15, 0.05, 100, 1e308};
    uint8_t choice = byte(r);
    if (choice < sizeof table / sizeof *table) return table[choice];
    if (choice > 245) return from_bits(word(r));
    return byte(r) / 255.0;
}

static int64_t any_integer(Reader *r) {
    static const int64_t table[] = {0, 1, 2, 3, 4, 8, 16, 64, -1, 2147483647, 2147483648, INT64_MAX, INT64_MIN,
                                    INT64_MAX - 1, -2147483648ll, 4294967296ll, 1ll << 53, 1ll << 62, 1000, 100000};
    uint8_t choice = byte(r);
    if (choice < sizeof table / sizeof *table) return table[choice];
    if (choice > 250) return (int64_t)word(r);
    return byte(r);
}

static int32_t any_choice(Reader *r, int known) { /* mostly a known number of an enum */
    uint8_t choice = byte(r);
    return choice < 248 ? choice % known : (int32_t)any_integer(r);
}

/* ---- one call: its memory, what must not change, and a digest of its results ---- */

typedef struct { void *memory; size_t size; void *before; size_t hashed_from; int is_output; } Block;
static Block blocks[160];
static int block_count;
static uint64_t digest;
static int second_time;      /* 1: the same call again */
static int injects;          /* an allocation of this call fails */
static v05_status last_status;

static void hash(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) digest = (digest ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

static void *block(size_t size, int is_output, const void *contents) {
    CHECK(block_count < 160, "too many blocks");
    Block *b = &blocks[block_count++];
    b->memory = __real_malloc(size);
    b->size = size;
    b->is_output = is_output;
    b->hashed_from = 0;
    b->before = NULL;
    if (contents) memcpy(b->memory, contents, size); else memset(b->memory, 0xA5, size);
    return b->memory;
}

static void *input(size_t size, const void *contents) { return block(size, 0, contents); }
static void *output(size_t size) { return block(size, 1, NULL); }
static void unhashed(void *memory, size_t first) {
    for (int i = 0; i < block_count; i++) if (blocks[i].memory == memory) blocks[i].hashed_from = first;
}

static size_t longest_struct = 0;
/* A struct of the caller's in a block of exactly its size, which may be an older, newer or wrong one. *value becomes
 * what the library sees. */
static void *sized_struct(Reader *r, void *value, size_t known, const void *defaults, int is_output) {
    size_t size = known;
    uint8_t choice = byte(r);
    int dirty = 0;
    if (choice >= 236) {
        uint8_t kind = byte(r);
        if (choice < 244) size = 8 + 8 * (kind % (known / 8));
        else if (choice < 250) { size = known + 8 * (1 + kind % 4); dirty = kind & 64; }
        else if (choice < 252) size = known + 1 + kind % 7;
        else if (choice < 254) size = kind % 8;
        else size = kind & 1 ? 4096 + 8 * (size_t)kind : (size_t)any_integer(r);
    }
    size_t there = size < 8 ? 8 : size > 4096 ? known : size;
    uint8_t *bytes = calloc(1, there < known ? known : there);
    memcpy(bytes, value, known);
    memcpy(bytes, &size, 8);
    if (dirty) bytes[there - 1 - byte(r) % (there - known)] = 1;
    void *memory = block(there, is_output, bytes);
    if (defaults) memcpy(value, defaults, known); else memset(value, 0, known);
    memcpy(value, bytes, there < known ? there : known);
    free(bytes);
    longest_struct = there;
    return memory;
}

static v05_error *error_block;
static int error_is_whole;

static v05_error *error_argument(Reader *r) {
    uint8_t choice = byte(r);
    error_is_whole = 0;
    error_block = NULL;
    if (choice > 240 && choice < 249) return NULL;
    size_t size = sizeof(v05_error);
    if (choice >= 249) size = 8 * (choice - 249);
    error_is_whole = size == sizeof(v05_error);
    error_block = __real_malloc(size < 8 ? 8 : size);
    memset(error_block, 0xA5, size < 8 ? 8 : size);
    memcpy(error_block, &size, 8);
    return error_block;
}

/* Ends the preparation of a call. */
static void begin(Reader *r, const char *name) {
    current = name;
    for (int i = 0; i < block_count; i++) {
        blocks[i].before = __real_malloc(blocks[i].size);
        memcpy(blocks[i].before, blocks[i].memory, blocks[i].size);
    }
    uint8_t choice = byte(r);
    injects = choice > 246;
    failing_allocation = injects ? choice - 247 : -1;
}

static int ended(v05_status status) {
    failing_allocation = -1;
    last_status = status;
    hash(&status, sizeof status);
    CHECK(strcmp(v05_status_name(status), "unknown status") != 0, "status %d", status);
    for (int i = 0; i < block_count; i++) {
        Block *b = &blocks[i];
        if (!b->is_output || status != V05_STATUS_OK)
            CHECK(memcmp(b->before, b->memory, b->size) == 0, "%s changed, status %s",
                  b->is_output ? "output" : "input", v05_status_name(status));
        else if (b->hashed_from < b->size)
            hash((uint8_t *)b->memory + b->hashed_from, b->size - b->hashed_from);
    }
    if (error_block && error_is_whole) {
        if (status == V05_STATUS_OK) {
            for (size_t i = 8; i < sizeof *error_block; i++)
                CHECK(((uint8_t *)error_block)[i] == 0xA5, "error was written on success");
        } else {
            CHECK(error_block->status == (int32_t)status, "error.status %d, status %d", error_block->status, status);
            CHECK(error_block->index >= -1, "index %lld", (long long)error_block->index);
            const char *end = memchr(error_block->message, 0, sizeof error_block->message);
            CHECK(end && end != error_block->message, "message is empty or not terminated");
            for (const char *c = error_block->message; c < end; c++)
                CHECK(*c >= 32 && *c < 127, "message has character %d", *c);
            hash(error_block->message, end - error_block->message);
        }
    }
    CHECK(status != V05_STATUS_OUT_OF_MEMORY || injects, "out of memory");
    return status == V05_STATUS_OK;
}

static void clear(void) {
    for (int i = 0; i < block_count; i++) { free(blocks[i].memory); free(blocks[i].before); }
    block_count = 0;
    free(error_block);
    error_block = NULL;
}

/* ---- batches ---- */

typedef struct { double low, high; } Range;

static Range any_range(Reader *r) {
    static const Range table[] = {{0, 1}, {-1, 1}, {0, 100}, {-1e30, 1e30}, {0, 1e-300}, {5, 5.0000001}, {-3, 2},
                                  {1e29, 1e30}, {0, 5e-324}, {1, 0}, {0, 0}, {-INFINITY, 1}, {0, NAN}, {-1e-160, 1e-160}};
    uint8_t choice = byte(r);
    if (choice < 180) return table[0];
    if (choice < 250) return table[choice % (sizeof table / sizeof *table)];
    Range range; range.low = any_double(r); range.high = any_double(r);
    return range;
}

typedef struct {
    void *argument;   /* what is passed */
    v05_batch seen;   /* what the library sees of it */
    int64_t rows;
    int64_t groups;   /* upper bound of their number */
    int is_single, is_plain; /* plain: all as the header wants it */
    Range range;
} AnyBatch;

static AnyBatch any_batch(Reader *outer, Range range) {
    AnyBatch result = {0};
    Reader inner = *outer, *r = outer;
    int64_t n = byte(outer);
    if (n >= 240) { /* larger than the input: made by a generator */
        n = (n - 239) * 50;
        inner.random = word(outer);
        inner.expands = 1;
        r = &inner;
    } else n %= 28;
    uint8_t kind = byte(outer), id_kind = byte(outer), prior_kind = byte(outer), flags = byte(outer);
    uint8_t specials = kind >= 128 && kind < 140 ? 1 : 0;
    double width = range.high - range.low;

    double *rewards = __real_malloc(n * 8 + 8);
    for (int64_t i = 0; i < n; i++) {
        uint8_t b = byte(r);
        switch (kind & 3) {
            case 0: rewards[i] = b & 1 ? range.high : range.low; break;
            case 1: rewards[i] = range.low + width * (b % 5) / 4; break;
            case 2: rewards[i] = range.low + width * (b / 255.0); break;
            default: rewards[i] = kind & 4 ? any_double(r) : range.low; break;
        }
        if (specials && b > 240) rewards[i] = any_double(r);
    }
    int64_t *ids = __real_malloc(n * 8 + 8), *offsets = __real_malloc(n * 8 + 64), groups = 0;
    int has_offsets = id_kind & 1;
    if (has_offsets) {
        int64_t at = 0;
        offsets[0] = 0;
        while (at < n && groups < n + 4) {
            int64_t size = byte(r) % 9;
            if (size == 0 && groups >= n) size = 1;
            at = at + size > n ? n : at + size;
            offsets[++groups] = at;
        }
        offsets[groups] = n;
        if (id_kind >= 240) offsets[byte(outer) % (groups + 1)] = any_integer(outer);
    } else {
        int64_t id = 0;
        for (int64_t i = 0; i < n; i++) {
            uint8_t b = byte(r);
            switch (id_kind >> 1 & 3) {
                case 0: id += b & 3 ? 0 : 1; break;
                case 1: id = b % 11; break;
                case 2: id = (b % 7) * 0x0123456789ABCDEFll; break;
                default: id = any_integer(r); break;
            }
            ids[i] = id;
        }
    }
    uint64_t salt = prior_kind >> 4;
    int64_t priors = has_offsets ? groups : n;
    double *prior = __real_malloc(priors * 8 + 8), *strength = __real_malloc(priors * 8 + 8);
    for (int64_t i = 0; i < priors; i++) {
        uint64_t h = ((has_offsets ? (uint64_t)i : (uint64_t)ids[i]) + salt) * 0x9E3779B97F4A7C15u;
        prior[i] = range.low + width * (h >> 40) / 16777216.0;
        if (h >> 36 & (prior_kind & 2 ? 1 : 0)) prior[i] = NAN;
        if ((h >> 32 & 7) == 0) prior[i] = h >> 31 & 1 ? range.high : range.low;
        if (prior_kind & 8) prior[i] = any_double(r);
        strength[i] = (double)(h >> 20 & 15);
        if (prior_kind & 4) strength[i] = any_double(r);
    }
    uint8_t *mask = __real_malloc(n + 1);
    for (int64_t i = 0; i < n; i++) { uint8_t b = byte(r); mask[i] = b % 4 ? b : 0; }

    v05_batch batch = {.struct_size = sizeof batch, .row_count = n};
    result.is_single = flags & 1;
    if (result.is_single) {
        float *single = __real_malloc(n * 4 + 4);
        for (int64_t i = 0; i < n; i++) single[i] = (float)rewards[i];
        batch.rewards_f32 = input(n * 4, single);
        free(single);
    } else batch.rewards_f64 = input(n * 8, rewards);
    if (has_offsets) {
        batch.group_offsets = input(groups * 8 + 8, offsets);
        batch.group_count = groups;
    } else batch.group_ids = input(n * 8, ids);
    if (prior_kind & 1) batch.prior = input(priors * 8, prior);
    if (flags & 4) batch.prior_strength = input(priors * 8, strength);
    if (flags & 2) batch.mask = input(n, mask);
    if ((flags & 56) == 56) { /* weights, without a byte of the input */
        double *weights = __real_malloc(n * 8 + 8);
        for (int64_t i = 0; i < n; i++) {
            uint64_t h = ((uint64_t)i + ((uint64_t)kind << 32)) * 0x9E3779B97F4A7C15u;
            int spread = id_kind & 8 ? 2000 : 12;
            weights[i] = h >> 61 ? ldexp(1 + (double)(h >> 44 & 255) / 256, (int)(h >> 30 & 4095) % spread - spread / 2) : 0;
            if (id_kind & 16 && (h >> 20 & 255) == 0) weights[i] = h >> 15 & 1 ? -1 : NAN;
        }
        batch.weights = input(n * 8, weights);
        free(weights);
    }
    result.is_plain = 1;
    if (flags >= 216) { /* wrong calls */
        result.is_plain = 0;
        uint8_t how = byte(outer);
        if (how & 1) batch.row_count = how & 128 ? -1 - llabs(any_integer(outer) % 5) : 2147483648ll + (int64_t)byte(outer);
        if (how & 2) batch.rewards_f32 = NULL;
        if (how & 4) batch.rewards_f64 = NULL;
        if (how & 8) { batch.group_ids = NULL; batch.group_offsets = NULL; }
        if (how & 16) { batch.group_ids = input(n * 8, ids); batch.group_offsets = input(groups * 8 + 8, offsets); }
        if (how & 32) { batch.rewards_f64 = input(n * 8, rewards); }
        if (how & 64) batch.group_count = how & 128 ? -1 : INT64_MAX;
    }
    free(rewards); free(ids); free(offsets); free(prior); free(strength); free(mask);
    result.seen = batch;
    int is_null = chance(outer, 3);
    result.argument = sized_struct(outer, &result.seen, sizeof batch, NULL, 0);
    if (is_null) result.argument = NULL;
    result.rows = n;
    result.groups = has_offsets ? groups : n;
    result.range = range;
    if (longest_struct != sizeof batch || is_null) result.is_plain = 0;
    return result;
}

static const v05_mixture *any_mixture(Reader *r, Range range) {
    uint8_t flags = byte(r);
    if (flags < 96) return NULL;
    double h = (range.high - range.low) / 2, sums[2] = {0, 0};
    v05_mixture m = {.struct_size = sizeof m};
    m.calibration = (v05_calibration){.struct_size = sizeof m.calibration, .total_groups = 200,
                                      .intercept = range.low + h * (byte(r) / 255.0), .slope = byte(r) / 170.0,
                                      .grand_mean = range.low + 2 * h * (byte(r) / 255.0), .groups = 4 + byte(r) % 100};
    for (int i = 0; i < 40; i++) sums[i >= 30] += m.weights[i] = pow(2, -(byte(r) % 64));
    for (int i = 0; i < 40; i++) m.weights[i] /= sums[i >= 30];
    if (flags > 230) m.weights[byte(r) % 40] = any_double(r);
    if (flags > 220 && flags <= 230) ((double *)&m.calibration)[1 + byte(r) % 8] = any_double(r);
    return sized_struct(r, &m, sizeof m, NULL, 0);
}

/* *mixture: what comes with the options where their rule is a mixture, else NULL. */
static const v05_estimation_options *any_estimation_options(Reader *r, Range range, v05_estimation_options *seen,
                                                           const v05_mixture **mixture) {
    *mixture = NULL;
    v05_estimation_options defaults;
    CHECK(v05_estimation_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    *seen = defaults;
    uint8_t flags = byte(r);
    if (flags > 250) return NULL;
    v05_estimation_options o = defaults;
    o.rule = any_choice(r, 8);
    o.leave_one_out = flags & 1;
    o.reward_low = range.low;
    o.reward_high = range.high;
    o.scale = flags >> 1 & 1 ? any_choice(r, 3) : 0;
    o.ddof = flags >> 2 & 1;
    if (flags & 8) o.epsilon = any_double(r);
    if (flags & 16) o.singleton = any_choice(r, 2);
    if (flags & 32) o.test = any_choice(r, 2);
    if (flags & 64) o.level = any_double(r);
    if ((flags & 68) == 68 && o.rule == V05_RULE_MEDIAN) o.rule = V05_RULE_BATCH_MEAN;
    if (flags == 250) { o.leave_one_out = (int32_t)any_integer(r); o.ddof = (int32_t)any_integer(r); }
    if (flags & 128 && o.rule == V05_RULE_DISCOUNTED_BETA) {
        o.rule = V05_RULE_MIXTURE;
        *mixture = any_mixture(r, range);
    }
    *seen = o;
    return sized_struct(r, seen, sizeof o, &defaults, 0);
}

static const v05_calibration *any_calibration(Reader *r, Range range) {
    uint8_t flags = byte(r);
    if (flags < 96) return NULL;
    double h = (range.high - range.low) / 2;
    v05_calibration c = {sizeof c, range.low + h * (byte(r) / 255.0), byte(r) / 170.0, h * h * (byte(r) / 255.0),
                         h * h * (byte(r) / 255.0), range.low + h, h * h * (byte(r) / 255.0), 4 + byte(r) % 100, 200};
    if (flags > 200) ((double *)&c)[1 + byte(r) % 8] = any_double(r);
    return sized_struct(r, &c, sizeof c, NULL, 0);
}

/* Memory for a call: NULL, or exactly what the query says, or something else. The second of two calls gets other
 * memory, so that results which depend on what it held before differ. */
static void *workspace(Reader *r, const AnyBatch *batch, const v05_estimation_options *options, size_t *size) {
    uint8_t choice = byte(r), shift = byte(r) % 8;
    *size = 0;
    if (choice >= 250) { /* too small, or of an impossible size */
        *size = choice >= 253 ? 0 - (size_t)shift : shift;
        return output(shift);
    }
    int own = (choice & 1) ^ second_time;
    size_t needed = 0;
    if (!own || v05_estimation_workspace_size(batch->argument, options, &needed, NULL) != V05_STATUS_OK) return NULL;
    uint8_t *memory = output(needed + shift);
    memset(memory, second_time ? 0xFF : 0x3C, needed + shift);
    /* Not an output: forget it, but keep it to be freed. */
    blocks[block_count - 1].hashed_from = needed + shift;
    blocks[block_count - 1].is_output = 2;
    *size = needed;
    return memory + shift;
}

static int workspace_begin(Reader *r, const char *name, void *memory, size_t size) {
    begin(r, name);
    (void)memory; (void)size;
    /* The workspace may change on failure. */
    for (int i = 0; i < block_count; i++)
        if (blocks[i].is_output == 2) { free(blocks[i].before); blocks[i].before = NULL; blocks[i].size = 0; }
    return injects;
}

static int id_less(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t number_of_groups(const AnyBatch *b) {
    if (b->seen.group_offsets) return b->seen.group_count;
    int64_t n = b->rows, found = 0;
    int64_t *sorted = __real_malloc(n * 8 + 8);
    if (n) memcpy(sorted, b->seen.group_ids, n * 8);
    qsort(sorted, n, 8, id_less);
    for (int64_t i = 0; i < n; i++) found += i == 0 || sorted[i] != sorted[i - 1];
    free(sorted);
    return found;
}

typedef struct { v05_estimate *argument, seen; } AnyEstimate;

static AnyEstimate any_estimate(Reader *r, int64_t rows, int64_t groups, int is_single, const void *rewards) {
    AnyEstimate e = {0};
    v05_estimate s = {.struct_size = sizeof s};
    uint8_t first = byte(r), wanted = byte(r) ^ 0xFF, capacity = byte(r);
    s.group_capacity = capacity < 200 ? groups : capacity < 225 ? rows : capacity < 240 ? groups - 1 : any_integer(r);
    int64_t room = s.group_capacity < 0 ? 0 : s.group_capacity > 2000 ? 2000 : s.group_capacity;
    if (s.group_capacity > 2000) room = groups > rows ? groups : rows; /* always enough; fewer is the caller's mistake */
    if (first < 240) {
        if (is_single) s.advantages_f32 = output(rows * 4); else s.advantages_f64 = output(rows * 8);
    } else if (first < 244) {
        s.advantages_f32 = output(rows * 4); s.advantages_f64 = output(rows * 8);
    } else if (first < 248) {
        if (is_single) s.advantages_f64 = output(rows * 8); else s.advantages_f32 = output(rows * 4);
    } else if (first < 251 && rewards) {
        if (is_single) s.advantages_f32 = (float *)rewards; else s.advantages_f64 = (double *)rewards;
    }
    if (wanted & 1) s.row_group = output(rows * 8);
    if (wanted & 2) { s.group_ids = output(room * 8); s.count = output(room * 8); s.effective_count = output(room * 8); }
    if (wanted & 4) { s.mean = output(room * 8); s.prior = output(room * 8); }
    if (wanted & 8) { s.weight = output(room * 8); s.baseline = output(room * 8); }
    if (wanted & 16) { s.bias_squared = output(room * 8); s.z = output(room * 8); s.p_value = output(room * 8); }
    if (wanted & 32) s.mse = output(room * 8);
    if (wanted & 64) { s.rejected = output(room); s.constant = output(room); }
    if (wanted & 128) {
        v05_calibration c;
        memset(&c, 0xA5, sizeof c);
        s.calibration = sized_struct(r, &c, sizeof c, NULL, 1);
    }
    memset(&s.group_count, 0xA5, sizeof s - offsetof(v05_estimate, group_count));
    static v05_mixture applied; /* its address is hashed with the results, so that it must stay the same */
    applied.struct_size = sizeof applied;
    if (wanted & 128 && first & 1) s.mixture = &applied;
    e.seen = s;
    e.argument = sized_struct(r, &e.seen, sizeof s, NULL, 1);
    unhashed(e.argument, longest_struct > offsetof(v05_estimate, group_count) ? offsetof(v05_estimate, group_count)
                                                                              : longest_struct);
    e.seen.struct_size = longest_struct;
    if (first >= 253) e.argument = NULL;
    return e;
}

/* What the header promises of the results of a call that succeeded. */
static void check_estimate(const AnyEstimate *e, int64_t rows, const uint8_t *mask, const double *weights,
                           const v05_estimation_options *o) {
    const v05_estimate *s = &e->seen;
    for (int64_t i = 0; i < rows; i++) {
        if (s->advantages_f32) CHECK(isfinite(s->advantages_f32[i]), "advantage[%lld] = %g", (long long)i, s->advantages_f32[i]);
        if (s->advantages_f64) CHECK(isfinite(s->advantages_f64[i]), "advantage[%lld] = %g", (long long)i, s->advantages_f64[i]);
        if (mask && mask[i] == 0) {
            if (s->advantages_f32) CHECK(s->advantages_f32[i] == 0, "masked advantage");
            if (s->advantages_f64) CHECK(s->advantages_f64[i] == 0, "masked advantage");
        }
    }
    if (s->struct_size < sizeof *s) return;
    v05_estimate out;
    memcpy(&out, e->argument, sizeof out);
    CHECK(out.group_count >= 0 && (s->group_capacity >= out.group_count || !(s->count || s->mean || s->weight || s->mse)), "group_count");
    CHECK(out.applied_rule >= 0 && out.applied_rule <= V05_RULE_BATCH_MEAN, "applied_rule %d", out.applied_rule);
    CHECK(out.calibration_applied == 0 || out.calibration_applied == 1, "calibration_applied");
    if (s->row_group)
        for (int64_t i = 0; i < rows; i++)
            CHECK(s->row_group[i] >= 0 && s->row_group[i] < out.group_count, "row_group %lld", (long long)s->row_group[i]);
    double lo = out.reward_low, hi = out.reward_high, h = (hi - lo) / 2;
    int64_t counted = 0;
    for (int64_t i = 0; i < rows; i++) counted += (!mask || mask[i]) && (!weights || weights[i] > 0);
    int64_t sum = 0;
    for (int64_t g = 0; g < out.group_count; g++) {
        if (s->count) { CHECK(s->count[g] >= 0, "count"); sum += s->count[g]; }
        if (s->count && s->mean) CHECK((s->count[g] == 0) == isnan(s->mean[g]), "mean %g of %lld", s->mean[g], (long long)s->count[g]);
        int is_empty = s->count && s->count[g] == 0;
        if (s->weight && (s->count && !is_empty)) CHECK(s->weight[g] >= 0 && s->weight[g] <= 1, "weight %g, baseline %g, group %lld", s->weight[g], s->baseline[g], (long long)g);
        if (s->prior) CHECK(isnan(s->prior[g]) || (s->prior[g] >= lo && s->prior[g] <= hi), "prior %g", s->prior[g]);
        if (s->mse) CHECK(isnan(s->mse[g]) || s->mse[g] >= 0, "mse %g", s->mse[g]);
        if (s->z) CHECK(isnan(s->z[g]) || s->z[g] >= 0, "z %g", s->z[g]);
        if (s->bias_squared) CHECK(isnan(s->bias_squared[g]) || s->bias_squared[g] >= 0, "bias_squared %g", s->bias_squared[g]);
        if (s->p_value) {
            CHECK(isnan(s->p_value[g]) || (s->p_value[g] >= 0 && s->p_value[g] <= 1), "p_value %g", s->p_value[g]);
            if (o->test == V05_TEST_BOUND) CHECK(isnan(s->p_value[g]), "p_value with V05_TEST_BOUND");
        }
        if (s->rejected) CHECK(s->rejected[g] <= 1 && s->constant[g] <= 1, "flags");
        if (s->count && s->mean && s->weight && s->count[g] > 0) {
            CHECK(isfinite(s->baseline[g]) || out.applied_rule == V05_RULE_BATCH_MEAN, "baseline %g, mean %g, prior %g, weight %g", s->baseline[g], s->mean[g], s->prior[g], s->weight[g]);
            if (out.applied_rule == V05_RULE_V05 && o->test == V05_TEST_BOUND && h > 1e-150)  /* h^2 is a number */
                CHECK(fabs(s->baseline[g] - s->mean[g]) <= h / sqrt(s->effective_count[g]) * (1 + 1e-9) + 1e-12 * (fabs(lo) + fabs(hi)),
                      "|b - m| = %g, k = %lld, h = %g", fabs(s->baseline[g] - s->mean[g]), (long long)s->count[g], h);
        }
    }
    if (s->count) CHECK(sum == counted, "counts sum to %lld, not %lld", (long long)sum, (long long)counted);
}

static void check_calibration(const v05_calibration *c, const char *what) {
    v05_batch none = {.struct_size = sizeof none};
    v05_estimate result = {.struct_size = sizeof result};
    v05_estimation_options o;
    v05_estimation_options_initialize(&o, sizeof o, NULL);
    o.rule = V05_RULE_CALIBRATED;
    v05_error error = {.struct_size = sizeof error};
    const char *before = current;
    v05_status status = v05_baseline_estimate(&none, &o, c, NULL, NULL, 0, &result, &error);
    current = before;
    CHECK(status == V05_STATUS_OK, "%s is not accepted back: %s", what, error.message);
}

static const AnyBatch *described_batch;
static const v05_estimation_options *described_options;
static const v05_calibration *described_calibration;

static struct { v05_allocation_options options; int64_t prompts, total; const double *probability, *strength; const int64_t *seen; } described_allocation;

static void describe(void) {
    if (described_allocation.prompts > 0) {
        const v05_allocation_options *o = &described_allocation.options;
        fprintf(stderr, "  objective %d minimum %lld maximum %lld exponent %g total %lld\n", o->objective, (long long)o->minimum,
                (long long)o->maximum, o->exponent, (long long)described_allocation.total);
        for (int64_t i = 0; i < described_allocation.prompts; i++) {
            if (described_allocation.probability) fprintf(stderr, "  probability %.17g", described_allocation.probability[i]);
            if (described_allocation.strength) fprintf(stderr, " strength %.17g", described_allocation.strength[i]);
            if (described_allocation.seen) fprintf(stderr, " seen %lld", (long long)described_allocation.seen[i]);
            fprintf(stderr, "\n");
        }
    }
    if (described_options) {
        const v05_estimation_options *o = described_options;
        fprintf(stderr, "  rule %d leave_one_out %d range [%.17g, %.17g] scale %d ddof %d epsilon %g singleton %d test %d level %g\n",
                o->rule, o->leave_one_out, o->reward_low, o->reward_high, o->scale, o->ddof, o->epsilon, o->singleton, o->test, o->level);
    }
    if (described_calibration) {
        const v05_calibration *c = described_calibration;
        fprintf(stderr, "  calibration of %zu bytes:", c->struct_size);
        for (size_t i = 1; i < 9 && i < c->struct_size / 8; i++) fprintf(stderr, " %.17g", ((const double *)c)[i]);
        fprintf(stderr, "\n");
    }
    if (described_batch) {
        const v05_batch *b = &described_batch->seen;
        fprintf(stderr, "  %lld rows, %lld groups\n", (long long)b->row_count, (long long)b->group_count);
        for (int64_t i = 0; i < b->row_count && i < 24; i++) {
            fprintf(stderr, "  reward %.17g", b->rewards_f32 ? b->rewards_f32[i] : b->rewards_f64 ? b->rewards_f64[i] : NAN);
            if (b->group_ids) fprintf(stderr, " id %lld", (long long)b->group_ids[i]);
            if (b->group_ids && b->prior) fprintf(stderr, " prior %.17g", b->prior[i]);
            if (b->group_ids && b->prior_strength) fprintf(stderr, " strength %.17g", b->prior_strength[i]);
            if (b->mask) fprintf(stderr, " mask %d", b->mask[i]);
            fprintf(stderr, "\n");
        }
        for (int64_t i = 0; b->group_offsets && i < b->group_count && i < 24; i++) {
            fprintf(stderr, "  offset %lld", (long long)b->group_offsets[i]);
            if (b->prior) fprintf(stderr, " prior %.17g", b->prior[i]);
            if (b->prior_strength) fprintf(stderr, " strength %.17g", b->prior_strength[i]);
            fprintf(stderr, "\n");
        }
    }
}

/* ---- calls without state ---- */

/* The same rows in reverse order must have the same advantages, bit for bit. */
static void check_order(const AnyBatch *b, const v05_estimation_options *options, const v05_calibration *calibration,
                        const v05_mixture *mixture, const AnyEstimate *e) {
    const v05_batch *s = &b->seen;
    if (!b->is_plain || s->group_offsets || b->rows == 0 || e->seen.struct_size < 24) return;
    /* A group without counted row takes the prior of its first row, whichever that is. */
    for (int64_t i = 0; s->mask && i < b->rows; i++) {
        int is_counted = 0;
        for (int64_t k = 0; k < b->rows && !is_counted; k++) is_counted = s->mask[k] && s->group_ids[k] == s->group_ids[i];
        if (!is_counted) return;
    }
    size_t width = b->is_single ? 4 : 8;
    const uint8_t *given = b->is_single ? (const void *)s->rewards_f32 : (const void *)s->rewards_f64;
    const uint8_t *found = b->is_single ? (const void *)e->seen.advantages_f32 : (const void *)e->seen.advantages_f64;
    if (!found) return;
    int64_t n = b->rows;
    uint8_t *rewards = __real_malloc(n * 8), *mask = __real_malloc(n), *advantages = __real_malloc(n * 8);
    int64_t *ids = __real_malloc(n * 8);
    double *prior = __real_malloc(n * 8), *strength = __real_malloc(n * 8), *weights = __real_malloc(n * 8);
    for (int64_t i = 0; i < n; i++) {
        memcpy(rewards + i * width, given + (n - 1 - i) * width, width);
        ids[i] = s->group_ids[n - 1 - i];
        if (s->mask) mask[i] = s->mask[n - 1 - i];
        if (s->prior) prior[i] = s->prior[n - 1 - i];
        if (s->prior_strength) strength[i] = s->prior_strength[n - 1 - i];
        if (s->weights) weights[i] = s->weights[n - 1 - i];
    }
    v05_batch turned = {.struct_size = sizeof turned, .row_count = n, .group_ids = ids};
    v05_estimate result = {.struct_size = sizeof result};
    if (b->is_single) { turned.rewards_f32 = (void *)rewards; result.advantages_f32 = (void *)advantages; }
    else { turned.rewards_f64 = (void *)rewards; result.advantages_f64 = (void *)advantages; }
    if (s->mask) turned.mask = mask;
    if (s->prior) turned.prior = prior;
    if (s->prior_strength) turned.prior_strength = strength;
    if (s->weights) turned.weights = weights;
    v05_error error = {.struct_size = sizeof error};
    v05_status status = v05_baseline_estimate(&turned, options, calibration, mixture, NULL, 0, &result, &error);
    CHECK(status == V05_STATUS_OK, "rows in reverse order are refused: %s", error.message);
    for (int64_t i = 0; i < n; i++) {
        double forward = b->is_single ? ((float *)found)[n - 1 - i] : ((double *)found)[n - 1 - i];
        double back = b->is_single ? ((float *)advantages)[i] : ((double *)advantages)[i];
        if (forward == 0 && back == 0)
            CHECK(signbit(forward) == signbit(back), "the sign of advantage 0 of row %lld turns with the order of rows", (long long)(n - 1 - i));
        else
            CHECK(memcmp(advantages + i * width, found + (n - 1 - i) * width, width) == 0,
              "advantage %.17g of row %lld is %.17g with rows in reverse order", forward, (long long)(n - 1 - i), back);
    }
    free(rewards); free(mask); free(advantages); free(ids); free(prior); free(strength); free(weights);
}

static void call_estimate(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    const v05_calibration *calibration = any_calibration(r, range);
    int64_t groups = batch.is_plain ? number_of_groups(&batch) : batch.groups;
    AnyEstimate e = any_estimate(r, batch.rows, groups, batch.is_single,
                                 batch.is_single ? (const void *)batch.seen.rewards_f32 : (const void *)batch.seen.rewards_f64);
    size_t size;
    void *memory = workspace(r, &batch, options, &size);
    v05_error *error = error_argument(r);
    if (workspace_begin(r, "v05_baseline_estimate", memory, size) && memory) failing_allocation = -1;
    if (injects) { memory = NULL; size = 0; }
    described_batch = &batch;
    described_options = &seen;
    described_calibration = calibration;
    if (ended(v05_baseline_estimate(batch.argument, options, calibration, mixture, memory, size, e.argument, error))) {
        check_estimate(&e, batch.seen.row_count, batch.seen.mask, batch.seen.weights, &seen);
        if (!second_time) check_order(&batch, options, calibration, mixture, &e);
    }
    described_batch = NULL;
    described_options = NULL;
    described_calibration = NULL;
}

static void call_workspace_size(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    size_t *size = chance(r, 8) ? NULL : output(sizeof(size_t));
    v05_error *error = error_argument(r);
    begin(r, "v05_estimation_workspace_size");
    ended(v05_estimation_workspace_size(batch.argument, options, size, error));
}

static v05_calibration *calibration_output(Reader *r) {
    v05_calibration c;
    memset(&c, 0xA5, sizeof c);
    v05_calibration *memory = sized_struct(r, &c, sizeof c, NULL, 1);
    return chance(r, 4) ? NULL : memory;
}

static void call_fit(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options seen;
    const v05_mixture *mixture;
    const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
    v05_calibration *result = calibration_output(r);
    size_t size;
    v05_estimation_options calibrated;
    v05_estimation_options_initialize(&calibrated, sizeof calibrated, NULL);
    calibrated.rule = V05_RULE_CALIBRATED;
    void *memory = workspace(r, &batch, &calibrated, &size);
    v05_error *error = error_argument(r);
    workspace_begin(r, "v05_calibration_fit", memory, size);
    if (injects) { memory = NULL; size = 0; }
    described_batch = &batch;
    described_options = &seen;
    if (ended(v05_calibration_fit(batch.argument, options, memory, size, result, error))) check_calibration(result, "the fit");
    described_batch = NULL;
    described_options = NULL;
}

static v05_running_mixture running_mixture;

/* A fit, or an update, a solution, or saved bytes of the running one: accepted back by an estimate. */
static void call_mixture(Reader *r) {
    Range range = any_range(r);
    AnyBatch batch = any_batch(r, range);
    v05_estimation_options o;
    v05_estimation_options_initialize(&o, sizeof o, NULL);
    o.rule = V05_RULE_MIXTURE;
    o.reward_low = range.low;
    o.reward_high = range.high;
    uint8_t which = byte(r) % 4;
    v05_mixture empty, solved;
    memset(&empty, 0xA5, sizeof empty);
    v05_mixture *result = sized_struct(r, &empty, sizeof empty, NULL, 1);
    v05_running_mixture before = running_mixture;
    if (before.struct_size == 0 || chance(r, 32))
        if (v05_running_mixture_initialize(&before, sizeof before, range.low, range.high, byte(r) / 255.0, NULL) != V05_STATUS_OK) return;
    if (chance(r, 16)) ((double *)&before)[1 + byte(r) % (sizeof before / 8 - 1)] = any_double(r);
    v05_running_mixture *running = sized_struct(r, &before, sizeof before, NULL, 1);
    size_t size;
    void *memory = workspace(r, &batch, &o, &size);
    v05_error *error = error_argument(r);
    workspace_begin(r, "v05_mixture_...", memory, size);
    if (injects) { memory = NULL; size = 0; }
    v05_status status = which == 0   ? v05_mixture_fit(batch.argument, &o, memory, size, result, error)
                        : which == 1 ? v05_running_mixture_solve(running, result, error)
                                     : v05_running_mixture_update(running, batch.argument, memory, size, error);
    if (!ended(status)) return;
    if (which >= 2) {
        if (running->struct_size != sizeof *running) return;
        uint8_t bytes[1024];
        size_t length;
        v05_running_mixture loaded = {.struct_size = sizeof loaded, .calibration.struct_size = sizeof loaded.calibration};
        CHECK(v05_running_mixture_save(running, bytes, sizeof bytes, &length, NULL) == V05_STATUS_OK, "a running mixture is not saved");
        CHECK(v05_running_mixture_load(&loaded, bytes, length, NULL) == V05_STATUS_OK, "a saved running mixture is refused");
        CHECK(memcmp(loaded.counts, running->counts, sizeof loaded.counts) == 0, "a running mixture changes when saved");
        if (second_time) running_mixture = *running;
        solved.struct_size = sizeof solved;
        CHECK(v05_running_mixture_solve(running, &solved, NULL) == V05_STATUS_OK, "a running mixture is not solved");
        result = &solved;
    }
    if (result->struct_size != sizeof *result) return;
    v05_batch none = {.struct_size = sizeof none};
    v05_estimate estimate = {.struct_size = sizeof estimate};
    o.reward_low = 0;
    o.reward_high = 1;
    v05_error message = {.struct_size = sizeof message};
    CHECK(v05_baseline_estimate(&none, &o, NULL, result, NULL, 0, &estimate, &message) == V05_STATUS_OK, "a mixture is not accepted back: %s", message.message);
}

static void call_modulation(Reader *r) {
    int64_t sequences = byte(r) % 5, tokens = byte(r) % 40, n = sequences * tokens;
    uint8_t flags = byte(r);
    int is_single = flags & 1, per_token = flags >> 1 & 1;
    size_t width = is_single ? 4 : 8;
    v05_modulation_options defaults, o;
    CHECK(v05_modulation_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    if (flags & 4) ((double *)&o)[1 + byte(r) % 6] = any_double(r);
    const void *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    uint8_t mask[200], arrays[4][200 * 8];
    for (int64_t i = 0; i < n; i++) {
        uint8_t kind = byte(r);
        mask[i] = kind & 3;
        for (int k = 0; k < 4; k++) {
            double value = byte(r) / 32.0;
            if (kind > 240) value = any_double(r);
            else if (kind > 230) value = kind & 1 ? INFINITY : NAN;
            if (k == 0) value -= 4;
            if (k >= 2) value = -value;
            if (is_single) ((float *)arrays[k])[i] = (float)value;
            else ((double *)arrays[k])[i] = value;
        }
    }
    const void *given[4], *m = input(n, mask);
    for (int k = 0; k < 4; k++) given[k] = input((k || per_token ? n : sequences) * width, arrays[k]);
    void *result = output(n * width);
    v05_modulation_statistics empty;
    memset(&empty, 0xA5, sizeof empty);
    v05_modulation_statistics *statistics = flags & 8 ? sized_struct(r, &empty, sizeof empty, NULL, 1) : NULL;
    if (chance(r, 4)) sequences = any_integer(r) < 0 ? -1 : 2147483648ll;
    v05_error *error = error_argument(r);
    begin(r, "v05_advantage_modulate");
    v05_status status = is_single
        ? v05_advantage_modulate_f32(options, sequences, tokens, given[0], per_token, given[1], given[2], given[3], m, result, statistics, error)
        : v05_advantage_modulate_f64(options, sequences, tokens, given[0], per_token, given[1], given[2], given[3], m, result, statistics, error);
    if (!ended(status)) return;
    for (int64_t i = 0; i < n; i++) {
        double found = is_single ? ((float *)result)[i] : ((double *)result)[i];
        int64_t place = per_token ? i : i / tokens;
        double advantage = is_single ? ((float *)given[0])[place] : ((double *)given[0])[place];
        CHECK(isfinite(found), "modulated[%lld] = %g", (long long)i, found);
        if (!mask[i]) CHECK(found == (isfinite(advantage) ? advantage : 0), "masked token %lld: %g of %g", (long long)i, found, advantage);
        else if (advantage > 0) CHECK(found >= advantage * 0 && found >= 0, "%g of %g", found, advantage);
        else CHECK(found >= advantage * (1 + 1e-6) && found <= 0, "%g of %g", found, advantage);
    }
}

static void call_allocation(Reader *r) {
    v05_allocation_options defaults, o;
    CHECK(v05_allocation_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    int64_t n = byte(r);
    n = n < 250 ? n % 20 : n == 250 ? any_integer(r) : n - 200;
    o.objective = any_choice(r, 5);
    if (flags & 1) o.minimum = any_integer(r);
    if (flags & 2) o.maximum = any_integer(r);
    if (flags & 4) o.exponent = any_double(r);
    int64_t total = flags & 8 ? any_integer(r) : byte(r);
    const v05_allocation_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags & 16 && byte(r) & 1) { options = NULL; o = defaults; }
    /* Collecting goes on past a call that is known to take time or memory by the maximum. */
    if (getenv("V05_FUZZ_COLLECT") && o.maximum > 20000 &&
        (o.objective == V05_OBJECTIVE_HIT || o.objective == V05_OBJECTIVE_V0)) return;
    int64_t there = n < 0 || n > 300 ? 0 : n;
    if (n > 300 && n <= 2147483647) n = there = 300;
    /* What is solved rollout by rollout stays small; what is refused may be of any size. */
    if (total > 20000 && (__int128)n * o.minimum <= total && total <= (__int128)n * o.maximum) total = 20000;
    double probability[300], strength[300];
    int64_t seen[300];
    for (int64_t i = 0; i < there; i++) {
        probability[i] = flags & 32 ? any_double(r) : byte(r) / 255.0;
        strength[i] = flags & 32 ? any_double(r) : byte(r) / 16.0;
        seen[i] = flags & 32 ? any_integer(r) : byte(r) % 8;
    }
    const double *p = chance(r, 4) ? NULL : input(there * 8, probability);
    const double *s = flags & 64 ? input(there * 8, strength) : NULL;
    const int64_t *before = flags & 128 ? input(there * 8, seen) : NULL;
    int64_t *counts = chance(r, 4) ? NULL : output(there * 8);
    v05_error *error = error_argument(r);
    begin(r, "v05_allocation_solve");
    described_allocation.options = o;
    described_allocation.prompts = there;
    described_allocation.total = total;
    described_allocation.probability = p;
    described_allocation.strength = s;
    described_allocation.seen = before;
    int is_solved = ended(v05_allocation_solve(options, n, p, before, s, total, counts, error));
    int64_t sum = 0;
    /* DynaMO may leave prompts below the minimum. */
    int64_t least = o.objective == V05_OBJECTIVE_DYNAMO ? 0 : o.minimum;
    for (int64_t i = 0; is_solved && i < n; i++) {
        sum += counts[i];
        CHECK(counts[i] >= least && counts[i] <= o.maximum, "counts[%lld] = %lld outside %lld to %lld (objective %d)",
              (long long)i, (long long)counts[i], (long long)least, (long long)o.maximum, o.objective);
    }
    if (is_solved) CHECK(sum == total, "counts sum to %lld, not %lld (objective %d)", (long long)sum, (long long)total, o.objective);
    described_allocation.prompts = 0;
}

static void call_initialize(Reader *r) {
    uint8_t which = byte(r);
    static const size_t sizes[] = {sizeof(v05_estimation_options), sizeof(v05_allocation_options),
                                   sizeof(v05_allocator_options), sizeof(v05_history_options), sizeof(v05_running_calibration),
                                   sizeof(v05_tracker_options)};
    size_t known = sizes[which % 6], size = byte(r) < 200 ? known : (size_t)any_integer(r);
    if (byte(r) > 128) size = 8 * (1 + byte(r) % (known / 8 + 2));
    void *memory = chance(r, 8) ? NULL : output(size > 4096 ? known : size);
    Range range = any_range(r);
    double discount = any_double(r);
    v05_error *error = error_argument(r);
    begin(r, "v05_..._initialize");
    v05_status status =
        which % 6 == 0   ? v05_estimation_options_initialize(memory, size, error)
        : which % 6 == 1 ? v05_allocation_options_initialize(memory, size, error)
        : which % 6 == 2 ? v05_allocator_options_initialize(memory, size, error)
        : which % 6 == 3 ? v05_history_options_initialize(memory, size, error)
                         : which % 6 == 4 ? v05_running_calibration_initialize(memory, size, range.low, range.high, discount, error)
                         : v05_tracker_options_initialize(memory, size, error);
    if (ended(status)) CHECK(*(size_t *)memory == size, "struct_size is not set");
}

static void call_plain(Reader *r) {
    uint8_t bytes[256];
    size_t size = byte(r);
    for (size_t i = 0; i < size; i++) bytes[i] = byte(r);
    const uint8_t *given = chance(r, 16) ? NULL : input(size, bytes);
    int64_t *key = chance(r, 8) ? NULL : output(8);
    size_t said = chance(r, 4) ? (size_t)-1 : size;
    v05_error *error = error_argument(r);
    begin(r, "v05_key_hash");
    ended(v05_key_hash(given, said, key, error));
    CHECK(v05_abi_version() == V05_ABI_VERSION, "abi");
    CHECK(strcmp(v05_version(), V05_VERSION) == 0, "version");
    CHECK(strcmp(v05_build_mode(), "hosted") == 0, "mode");
    CHECK(strlen(v05_status_name((int32_t)any_integer(r))) > 0, "name");
    v05_history_destroy(NULL);
    v05_tracker_destroy(NULL);
    v05_allocator_destroy(NULL);
}

static void call_hashes(Reader *r) {
    uint8_t bytes[256];
    size_t size = byte(r);
    for (size_t i = 0; i < size; i++) bytes[i] = byte(r);
    int64_t offsets[17], last = 0;
    int64_t count = byte(r) % 17;
    for (int64_t i = 0; i <= count; i++) {
        offsets[i] = last += byte(r) % 32;
        if (last > (int64_t)size) offsets[i] = last = (int64_t)size;
    }
    if (chance(r, 32)) offsets[byte(r) % (count + 1)] = -1 - (any_integer(r) & INT64_MAX);
    const uint8_t *given = chance(r, 16) ? NULL : input(size, bytes);
    const int64_t *places = chance(r, 16) ? NULL : input(sizeof *offsets * (size_t)(count + 1), offsets);
    int64_t *keys = chance(r, 16) ? NULL : output(sizeof *keys * (size_t)(count + 1));
    int64_t said = chance(r, 16) ? -1 - (any_integer(r) & INT64_MAX) : count;
    v05_error *error = error_argument(r);
    begin(r, "v05_key_hashes");
    if (!ended(v05_key_hashes(given, places, said, keys, error))) return;
    for (int64_t i = 0; i < said; i++) {
        int64_t alone = 0;
        CHECK(v05_key_hash(given, 0, &alone, NULL) == V05_STATUS_OK, "empty key");
        if (given) v05_key_hash(given + offsets[i], (size_t)(offsets[i + 1] - offsets[i]), &alone, NULL);
        CHECK(keys[i] == alone, "key %lld differs from v05_key_hash", (long long)i);
    }
}

/* ---- saved bytes ---- */

typedef struct { uint8_t *bytes; size_t size; } Bytes;
enum { RUNNING = 1, HISTORY = 2, ALLOCATOR = 3, TRACKER = 5 };

static v05_status save_any(int kind, const void *object, uint8_t *bytes, size_t capacity, size_t *size, v05_error *error) {
    return kind == RUNNING   ? v05_running_calibration_save(object, bytes, capacity, size, error)
           : kind == HISTORY ? v05_history_save(object, bytes, capacity, size, error)
           : kind == TRACKER ? v05_tracker_save(object, bytes, capacity, size, error)
                             : v05_allocator_save(object, bytes, capacity, size, error);
}

static v05_status load_any(int kind, void *target, const uint8_t *bytes, size_t size, v05_error *error) {
    return kind == RUNNING   ? v05_running_calibration_load(target, bytes, size, error)
           : kind == HISTORY ? v05_history_load(target, bytes, size, error)
           : kind == TRACKER ? v05_tracker_load(target, bytes, size, error)
                             : v05_allocator_load(target, bytes, size, error);
}

static Bytes saved(int kind, const void *object) {
    Bytes b = {0};
    CHECK(save_any(kind, object, NULL, 0, &b.size, NULL) == V05_STATUS_OK, "size query failed, kind %d", kind);
    b.bytes = __real_malloc(b.size);
    size_t size = 0;
    CHECK(save_any(kind, object, b.bytes, b.size, &size, NULL) == V05_STATUS_OK && size == b.size, "save failed");
    return b;
}

static int same(Bytes a, Bytes b) { return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0; }

static void seal(uint8_t *bytes, size_t size, uint32_t kind) { /* a right header and checksum */
    if (size < 24) return;
    uint32_t version = 1;
    uint64_t payload = size - 24;
    memcpy(bytes, "v05c", 4);
    memcpy(bytes + 4, &version, 4);
    memcpy(bytes + 8, &kind, 4);
    memcpy(bytes + 12, &payload, 8);
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size - 4; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    crc = ~crc;
    memcpy(bytes + size - 4, &crc, 4);
}

/* ---- state ---- */

static v05_history *histories[2];
static v05_tracker *trackers[2];
static v05_allocator *allocators[2];
static v05_running_calibration running;

#define MOST_PROMPTS 24
typedef struct { /* what is known of an allocator from the calls made on it */
    int is_known, is_stopped;
    int64_t prompts, maximum[MOST_PROMPTS], counts[MOST_PROMPTS], in_flight[MOST_PROMPTS], budget, requested;
    double prior[MOST_PROMPTS];
    Range range;
} Model;
static Model models[2], after;

static void *copy_of(int kind, const void *object) {
    static v05_running_calibration value;
    Bytes b = saved(kind, object);
    void *copy = NULL;
    v05_error error = {.struct_size = sizeof error};
    if (kind == RUNNING) {
        CHECK(v05_running_calibration_initialize(&value, sizeof value, 0, 1, 1, NULL) == V05_STATUS_OK, "initialize");
        CHECK(load_any(kind, &value, b.bytes, b.size, &error) == V05_STATUS_OK, "saved bytes are refused: %s", error.message);
        copy = &value;
    } else
        CHECK(load_any(kind, &copy, b.bytes, b.size, &error) == V05_STATUS_OK, "saved bytes of kind %d are refused: %s", kind, error.message);
    Bytes again = saved(kind, copy);
    CHECK(same(b, again), "saved bytes of kind %d differ after loading", kind);
    free(b.bytes);
    free(again.bytes);
    return copy;
}

static void destroy(int kind, void *object) {
    if (kind == HISTORY) v05_history_destroy(object);
    if (kind == TRACKER) v05_tracker_destroy(object);
    if (kind == ALLOCATOR) v05_allocator_destroy(object);
}

static void call_save(Reader *r, int kind, void *object) {
    Bytes b = saved(kind, object);
    uint8_t how = byte(r);
    int64_t room = how < 128 ? (int64_t)b.size : how < 192 ? (int64_t)b.size - 1 - byte(r) % 40 : byte(r);
    if (room < 0) room = 0;
    uint8_t *bytes = how > 240 ? NULL : output(room);
    size_t capacity = how > 250 ? (size_t)-1 : how > 240 ? (size_t)(how & 1) : (size_t)room;
    size_t *size = chance(r, 8) ? NULL : output(sizeof(size_t));
    void *given = chance(r, 4) ? NULL : object;
    v05_error *error = error_argument(r);
    begin(r, "v05_..._save");
    if (ended(save_any(kind, given, bytes, capacity, size, error))) {
        CHECK(*size == b.size, "size");
        if (bytes) CHECK(memcmp(bytes, b.bytes, b.size) == 0, "bytes differ");
    }
    free(b.bytes);
}

/* Loads bytes of the input, or those of an object with some changed. 1: *loaded is a new object. */
static int call_load(Reader *r, int kind, const void *object, void **loaded) {
    uint8_t how = byte(r);
    uint8_t buffer[4096];
    size_t size = 0;
    if (how & 1 || object == NULL) {
        size = byte(r) + (how & 2 ? byte(r) : 0);
        for (size_t i = 0; i < size; i++) buffer[i] = byte(r);
    } else {
        Bytes b = saved(kind, object);
        size = b.size < 4000 ? b.size : 4000;
        memcpy(buffer, b.bytes, size);
        free(b.bytes);
        for (int i = byte(r) % 8; i > 0; i--) {
            size_t at = byte(r) | (how & 2 ? byte(r) << 8 : 0);
            uint8_t bits = byte(r);
            if (bits > 200) { /* a whole field of the payload */
                double value = any_double(r);
                if (bits & 1) { int64_t integer = any_integer(r); memcpy(&value, &integer, 8); }
                at = 20 + at % 600 / 4 * 4;
                if (at + 8 <= size) memcpy(buffer + at, &value, 8);
            } else if (at < size) buffer[at] ^= bits;
        }
        if (how & 4) size = size > byte(r) ? size - byte(r) % 40 : size;
        if (size > 4000) size = 0;
    }
    if ((how & 0x18) != 0x18) seal(buffer, size, how & 64 && how & 128 && how & 32 ? byte(r) % 6 : (uint32_t)kind);
    const uint8_t *bytes = chance(r, 4) ? NULL : input(size, buffer);
    v05_running_calibration value;
    memset(&value, 0xA5, sizeof value);
    void *target;
    if (kind == RUNNING) {
        target = sized_struct(r, &value, sizeof value, NULL, 1);
        if (longest_struct != sizeof value) how = 0;
    } else {
        target = output(sizeof(void *));
        unhashed(target, sizeof(void *));
    }
    if (chance(r, 4)) target = NULL;
    size_t said = chance(r, 4) ? (size_t)-1 : size;
    v05_error *error = error_argument(r);
    begin(r, kind == RUNNING ? "v05_running_calibration_load" : kind == HISTORY ? "v05_history_load" : kind == TRACKER ? "v05_tracker_load" : "v05_allocator_load");
    if (!ended(load_any(kind, target, bytes, said, error))) return 0;
    if (kind == RUNNING) {
        if (longest_struct != sizeof value) return 0;
        memcpy(&running, target, sizeof running);
        *loaded = &running;
    } else memcpy(loaded, target, sizeof(void *));
    /* Bytes that save did not make may mean the same as others; what is saved from here on is stable. */
    Bytes again = saved(kind, *loaded);
    hash(again.bytes, again.size);
    free(again.bytes);
    destroy(kind, copy_of(kind, *loaded));
    return 1;
}

/* ---- running calibration ---- */

static void call_running(Reader *r, uint8_t which, v05_running_calibration *object) {
    v05_running_calibration seen = *object;
    int is_const = which != 0;
    Range range = {object->reward_low, object->reward_high};
    v05_running_calibration *given = sized_struct(r, &seen, sizeof seen, NULL, !is_const);
    int is_whole = longest_struct == sizeof seen;
    if (chance(r, 4)) given = NULL;
    if (which == 0) {
        AnyBatch batch = any_batch(r, chance(r, 32) ? any_range(r) : range);
        v05_estimation_options calibrated;
        v05_estimation_options_initialize(&calibrated, sizeof calibrated, NULL);
        calibrated.rule = V05_RULE_CALIBRATED;
        size_t size;
        void *memory = workspace(r, &batch, &calibrated, &size);
        v05_error *error = error_argument(r);
        workspace_begin(r, "v05_running_calibration_update", memory, size);
        if (injects) { memory = NULL; size = 0; }
        described_batch = &batch;
        v05_status status = v05_running_calibration_update(given, batch.argument, memory, size, error);
        if (ended(status) && is_whole) {
            memcpy(object, given, sizeof *object);
            v05_calibration solved = {.struct_size = sizeof solved};
            v05_error e = {.struct_size = sizeof e};
            CHECK(v05_running_calibration_solve(object, &solved, &e) == V05_STATUS_OK, "updated sums are refused: %s", e.message);
        }
        described_batch = NULL;
    } else {
        v05_calibration *result = calibration_output(r);
        v05_error *error = error_argument(r);
        begin(r, "v05_running_calibration_solve");
        if (ended(v05_running_calibration_solve(given, result, error))) check_calibration(result, "what was solved");
    }
}

/* ---- history ---- */

static void call_history(Reader *r, uint8_t which, v05_history *history, v05_history *other) {
    v05_history *given = chance(r, 4) ? NULL : history;
    int64_t step = chance(r, 32) ? any_integer(r) : byte(r) & 7;
    if (which == 0) {
        AnyBatch batch = any_batch(r, any_range(r));
        v05_error *error = error_argument(r);
        begin(r, "v05_history_record");
        ended(v05_history_record(given, batch.argument, step, error));
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        v05_history *source = chance(r, 8) ? history : chance(r, 4) ? NULL : other;
        begin(r, "v05_history_merge");
        ended(v05_history_merge(given, source, error));
    } else if (which == 4) {
        int64_t *count = chance(r, 8) ? NULL : output(8);
        v05_error *error = error_argument(r);
        begin(r, "v05_history_count");
        if (ended(v05_history_count(given, count, error))) CHECK(*count >= 0, "count");
    } else {
        Range range = any_range(r);
        int64_t n = byte(r) % 32, keys[32];
        double values[32], strengths[32];
        uint8_t kind = byte(r);
        for (int64_t i = 0; i < n; i++) {
            keys[i] = kind & 1 ? any_integer(r) : byte(r) % 11;
            values[i] = kind & 2 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
            strengths[i] = kind & 4 ? any_double(r) : byte(r) % 16;
        }
        const int64_t *k = chance(r, 4) ? NULL : input(n * 8, keys);
        int64_t said = chance(r, 4) ? (byte(r) & 1 ? -1 : 2147483648ll) : n;
        double *v = chance(r, 16) ? NULL : which == 1 ? output(n * 8) : input(n * 8, values);
        double *s = chance(r, 16) ? NULL : which == 1 ? output(n * 8) : input(n * 8, strengths);
        v05_error *error = error_argument(r);
        if (which == 1) {
            begin(r, "v05_history_predict");
            if (ended(v05_history_predict(given, k, said, step, v, s, error)))
                for (int64_t i = 0; i < n; i++) {
                    if (s) CHECK(s[i] >= 0 && isfinite(s[i]), "strength %g", s[i]);
                    if (v) CHECK(isnan(v[i]) || isfinite(v[i]), "value %g", v[i]);
                    if (v && s && isnan(v[i])) CHECK(s[i] == 0, "NaN with strength %g", s[i]);
                }
        } else {
            begin(r, "v05_history_start");
            ended(v05_history_start(given, k, v, s, said, step, error));
        }
    }
}

static void create_history(Reader *r, v05_history **history) {
    v05_history_options defaults, o;
    CHECK(v05_history_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    Range range = any_range(r);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.discount = any_double(r);
    if (flags & 2) o.step_decay = any_double(r);
    if (flags & 4) o.capacity = flags & 8 ? any_integer(r) : byte(r) % 12;
    const v05_history_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags > 250) options = NULL;
    v05_history **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_history_create");
    *history = NULL;
    if (ended(v05_history_create(options, chance(r, 4) ? NULL : target, error))) *history = *target;
}

/* ---- tracker ---- */

static void call_tracker(Reader *r, uint8_t which, v05_tracker *tracker, v05_tracker *other) {
    v05_tracker *given = chance(r, 4) ? NULL : tracker;
    if (which == 0) {
        AnyBatch batch = any_batch(r, any_range(r));
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_record");
        ended(v05_tracker_record(given, batch.argument, error));
    } else if (which == 1) {
        Range range = any_range(r);
        int64_t n = byte(r) % 32, keys[32];
        double priors[32];
        uint8_t kind = byte(r);
        for (int64_t i = 0; i < n; i++) {
            keys[i] = kind & 1 ? any_integer(r) : byte(r) % 11;
            priors[i] = kind & 2 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
        }
        const int64_t *k = chance(r, 4) ? NULL : input(n * 8, keys);
        const double *p = kind & 4 ? NULL : input(n * 8, priors);
        int64_t said = chance(r, 4) ? (byte(r) & 1 ? -1 : 2147483648ll) : n;
        double *v = chance(r, 16) ? NULL : output(n * 8), *s = chance(r, 16) ? NULL : output(n * 8);
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_predict");
        if (ended(v05_tracker_predict(given, k, p, said, v, s, error)))
            for (int64_t i = 0; i < n; i++) {
                if (s) CHECK(s[i] >= 0 && isfinite(s[i]), "strength %g", s[i]);
                if (v) CHECK(isnan(v[i]) || isfinite(v[i]), "value %g", v[i]);
                if (v && s) CHECK(isnan(v[i]) == (s[i] == 0), "value %g with strength %g", v[i], s[i]);
            }
    } else if (which == 2) {
        AnyBatch batch = any_batch(r, any_range(r));
        int64_t rows = batch.rows;
        double *baselines = chance(r, 16) ? NULL : output(rows * 8);
        int32_t one_out = chance(r, 8) ? (int32_t)any_integer(r) : byte(r) & 1;
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_fuse");
        if (ended(v05_tracker_fuse(given, batch.argument, one_out, baselines, error)))
            for (int64_t i = 0; i < rows; i++) CHECK(isnan(baselines[i]) || isfinite(baselines[i]), "baseline %g", baselines[i]);
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        v05_tracker *source = chance(r, 8) ? tracker : chance(r, 4) ? NULL : other;
        begin(r, "v05_tracker_merge");
        ended(v05_tracker_merge(given, source, error));
    } else {
        int64_t *count = chance(r, 8) ? NULL : output(8);
        v05_error *error = error_argument(r);
        begin(r, "v05_tracker_count");
        if (ended(v05_tracker_count(given, count, error))) CHECK(*count >= 0, "count");
        v05_calibration found = {.struct_size = sizeof found};
        CHECK(v05_tracker_calibration(tracker, &found, NULL) == V05_STATUS_OK, "calibration");
        CHECK(found.prior_variance >= 0 && found.reward_variance >= 0 && isfinite(found.prior_variance + found.reward_variance), "variances");
        v05_tracker_options options = {.struct_size = sizeof options};
        CHECK(v05_tracker_inspect(tracker, &options, NULL) == V05_STATUS_OK && options.reward_low < options.reward_high, "options");
    }
}

static void create_tracker(Reader *r, v05_tracker **tracker) {
    v05_tracker_options defaults, o;
    CHECK(v05_tracker_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r);
    Range range = any_range(r);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.discount = any_double(r);
    if (flags & 2) o.slow_discount = any_double(r);
    if (flags & 16) o.forgetting = any_double(r);
    if (flags & 4) o.capacity = flags & 8 ? any_integer(r) : byte(r) % 12;
    const v05_tracker_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (flags > 250) options = NULL;
    v05_tracker **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_tracker_create");
    *tracker = NULL;
    if (ended(v05_tracker_create(options, chance(r, 4) ? NULL : target, error))) *tracker = *target;
}

/* ---- allocator ---- */

static void create_allocator(Reader *r, v05_allocator **allocator, Model *model) {
    v05_allocator_options defaults, o;
    CHECK(v05_allocator_options_initialize(&defaults, sizeof defaults, NULL) == V05_STATUS_OK, "defaults");
    o = defaults;
    uint8_t flags = byte(r), more = byte(r);
    Range range = any_range(r);
    o.rule = any_choice(r, 2);
    o.look_ahead = any_choice(r, 3);
    o.reward_low = range.low;
    o.reward_high = range.high;
    if (flags & 1) o.initial = flags & 2 ? any_integer(r) : 1 + byte(r) % 6;
    if (flags & 4) o.maximum = flags & 2 ? any_integer(r) : 1 + byte(r) % 24;
    if (flags & 8) o.wave = any_integer(r);
    if (flags & 16) o.cost = any_double(r);
    if (flags & 32) o.budget = any_integer(r);
    int64_t n = byte(r);
    int huge = n == 255;
    n = n % MOST_PROMPTS;
    double prior[MOST_PROMPTS];
    int64_t initial[MOST_PROMPTS], maximum[MOST_PROMPTS];
    for (int64_t i = 0; i < n; i++) {
        prior[i] = more & 1 ? any_double(r) : range.low + (range.high - range.low) * byte(r) / 255.0;
        initial[i] = more & 2 ? any_integer(r) : 1 + byte(r) % 5;
        maximum[i] = more & 2 ? any_integer(r) : 4 + byte(r) % 20;
    }
    const v05_allocator_options *options = sized_struct(r, &o, sizeof o, &defaults, 0);
    if (more > 250) { options = NULL; o = defaults; }
    const double *p = more & 4 ? input(n * 8, prior) : NULL;
    const int64_t *i0 = more & 8 ? input(n * 8, initial) : NULL, *m0 = more & 16 ? input(n * 8, maximum) : NULL;
    const v05_calibration *calibration = more & 32 ? any_calibration(r, range) : NULL;
    v05_allocator **target = output(sizeof(void *));
    unhashed(target, sizeof(void *));
    v05_error *error = error_argument(r);
    begin(r, "v05_allocator_create");
    int64_t said = huge && !p && !i0 && !m0 ? (more & 128 ? -1 : 2147483648ll) : n;
    *allocator = NULL;
    memset(model, 0, sizeof *model);
    if (!ended(v05_allocator_create(options, said, p, i0, m0, calibration, NULL, chance(r, 4) ? NULL : target, error))) return;
    *allocator = *target;
    if (said > MOST_PROMPTS) return;
    model->is_known = 1;
    model->prompts = n;
    model->budget = o.budget;
    model->range.low = o.reward_low;
    model->range.high = o.reward_high;
    for (int64_t i = 0; i < n; i++) {
        model->maximum[i] = m0 ? maximum[i] : o.maximum;
        model->prior[i] = p ? prior[i] : NAN;
    }
}

static void check_model(const v05_allocator *allocator, const Model *model) {
    if (!model->is_known) return;
    int64_t n = -1, counts[MOST_PROMPTS], in_flight[MOST_PROMPTS], started = 0;
    CHECK(v05_allocator_status(allocator, &n, counts, in_flight, MOST_PROMPTS, NULL, NULL, NULL) == V05_STATUS_OK, "status");
    CHECK(n == model->prompts, "prompts");
    for (int64_t i = 0; i < n; i++) {
        CHECK(counts[i] == model->counts[i] && in_flight[i] == model->in_flight[i],
              "prompt %lld: %lld counted and %lld in flight, not %lld and %lld", (long long)i, (long long)counts[i],
              (long long)in_flight[i], (long long)model->counts[i], (long long)model->in_flight[i]);
        CHECK(counts[i] + in_flight[i] <= model->maximum[i], "prompt %lld is above its maximum", (long long)i);
        started += counts[i] + in_flight[i];
    }
    CHECK(model->budget < 0 || started <= model->budget, "%lld rollouts, budget %lld", (long long)started, (long long)model->budget);
}

static void call_allocator(Reader *r, uint8_t which, v05_allocator *allocator, const Model *before) {
    after = *before;
    v05_allocator *given = chance(r, 4) ? NULL : allocator;
    int64_t n = 0, observed = 0;
    CHECK(v05_allocator_status(allocator, &n, NULL, NULL, 0, NULL, NULL, NULL) == V05_STATUS_OK, "status");
    CHECK(v05_allocator_observations(allocator, NULL, NULL, 0, &observed, NULL) == V05_STATUS_OK, "observations");
    uint8_t how = byte(r);
    int64_t room = how < 200 ? n : how < 220 ? n - 1 : n + byte(r) % 4;
    if (room < 0 || room > 5000) room = 0;
    if (which == 0) {
        int64_t *counts = how > 250 ? NULL : output(room * 8), *sum = how & 1 ? NULL : output(8);
        v05_error *error = error_argument(r);
        int32_t done = -1;
        CHECK(v05_allocator_status(allocator, NULL, NULL, NULL, 0, &done, NULL, NULL) == V05_STATUS_OK, "done");
        begin(r, "v05_allocator_request");
        if (!ended(v05_allocator_request(given, counts, how > 245 ? -1 : room, sum, error))) return;
        int64_t found = 0;
        for (int64_t i = 0; i < n; i++) {
            CHECK(counts[i] >= 0, "counts[%lld] = %lld", (long long)i, (long long)counts[i]);
            found += counts[i];
            if (after.is_known) after.in_flight[i] += counts[i];
        }
        if (sum) CHECK(*sum == found, "sum %lld, counts sum to %lld", (long long)*sum, (long long)found);
        if (after.is_stopped || done) CHECK(found == 0, "%lld requested after stop or done", (long long)found);
        if (after.is_known && !done) {
            int64_t flying = found;
            for (int64_t i = 0; i < n; i++) flying += before->in_flight[i];
            CHECK(flying > 0, "neither done nor anything in flight or to be requested");
        }
        check_model(allocator, &after);
    } else if (which == 1 || which == 2) {
        int64_t index[64], m = 0;
        double rewards[64];
        Range range = after.range;
        if (how < 224 && after.is_known) { /* some of those in flight */
            for (int64_t i = 0; i < n && m < 64; i++)
                for (int64_t k = 0; k < after.in_flight[i] && m < 64; k++) {
                    uint8_t b = byte(r);
                    if (b > 200) break;
                    index[m] = i;
                    rewards[m++] = b & 32 ? range.low + (range.high - range.low) * (b % 32) / 31.0 : b & 1 ? range.high : range.low;
                }
            if (how >= 216) for (int64_t i = 0; i + 1 < m; i++) { int64_t t = index[i]; index[i] = index[m - 1]; index[m - 1] = t; }
            if (how > 200 && how < 208 && m) rewards[byte(r) % m] = any_double(r);
        } else {
            m = byte(r) % 16;
            for (int64_t i = 0; i < m; i++) { index[i] = any_integer(r); rewards[i] = any_double(r); }
        }
        const int64_t *p = chance(r, 4) ? NULL : input(m * 8, index);
        const double *v = which == 2 ? NULL : chance(r, 4) ? NULL : input(m * 8, rewards);
        int64_t said = chance(r, 4) ? any_integer(r) | INT64_MIN : m;
        v05_error *error = error_argument(r);
        begin(r, which == 1 ? "v05_allocator_observe" : "v05_allocator_cancel");
        if (!ended(which == 1 ? v05_allocator_observe(given, p, v, said, error) : v05_allocator_cancel(given, p, said, error))) return;
        if (after.is_known)
            for (int64_t i = 0; i < m; i++) {
                after.in_flight[index[i]]--;
                if (which == 1) after.counts[index[i]]++;
            }
        check_model(allocator, &after);
        if (which == 1 && m) { /* the log ends with what has been observed now */
            int64_t *logged = __real_malloc((observed + m) * 8), total = 0;
            double *values = __real_malloc((observed + m) * 8);
            CHECK(v05_allocator_observations(allocator, logged, values, observed + m, &total, NULL) == V05_STATUS_OK && total == observed + m, "log");
            for (int64_t i = 0; i < m; i++)
                CHECK(logged[observed + i] == index[i] && values[observed + i] == rewards[i], "observation %lld: %lld %g, not %lld %g",
                      (long long)i, (long long)logged[observed + i], values[observed + i], (long long)index[i], rewards[i]);
            free(logged);
            free(values);
        }
    } else if (which == 3) {
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_stop");
        if (ended(v05_allocator_stop(given, error))) after.is_stopped = 1;
    } else if (which == 4) {
        int64_t *count = how & 1 ? output(8) : NULL, *counts = how & 2 ? output(room * 8) : NULL, *flying = how & 4 ? output(room * 8) : NULL;
        int32_t *done = how & 8 ? output(4) : NULL, *calibrated = how & 16 ? output(4) : NULL;
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_status");
        ended(v05_allocator_status(given, count, counts, flying, how > 245 ? -1 : room, done, calibrated, error));
    } else if (which == 5) {
        int64_t there = how < 200 ? observed : observed > 0 ? observed - 1 : 0;
        int64_t *index = how & 1 ? output(there * 8) : NULL, *count = how > 240 ? NULL : output(8);
        double *rewards = how & 2 ? output(there * 8) : NULL;
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_observations");
        ended(v05_allocator_observations(given, index, rewards, there, count, error));
    } else {
        Range range = {0, 1};
        v05_estimation_options seen;
        const v05_mixture *mixture;
        const v05_estimation_options *options = any_estimation_options(r, range, &seen, &mixture);
        AnyEstimate e = any_estimate(r, observed, n < 2000 ? n : 0, 0, NULL);
        v05_error *error = error_argument(r);
        begin(r, "v05_allocator_estimate");
        if (ended(v05_allocator_estimate(given, options, e.argument, error))) check_estimate(&e, observed, NULL, NULL, &seen);
    }
}

/* ---- a program of calls ---- */

static void twice(Reader *r, void (*call)(Reader *)) {
    Reader start = *r;
    digest = 14695981039346656037u;
    second_time = 0;
    call(r);
    clear();
    uint64_t first = digest;
    v05_status status = last_status;
    *r = start;
    digest = 14695981039346656037u;
    second_time = 1;
    call(r);
    CHECK(digest == first || injects, "the same call gave something else: %s, then %s", v05_status_name(status), v05_status_name(last_status));
    clear();
    second_time = 0;
}

static void on_object(Reader *r, int kind, uint8_t which, void *object, int slot) {
    Bytes before = saved(kind, object);
    void *copy = copy_of(kind, object);
    void *other = kind == HISTORY ? (void *)histories[!slot] : kind == TRACKER ? (void *)trackers[!slot] : NULL;
    Bytes others = {0};
    if (other) others = saved(kind, other);
    void *objects[2] = {copy, object};
    uint64_t found[2];
    Bytes left[2];
    v05_status statuses[2];
    Reader start = *r;
    for (int i = 0; i < 2; i++) {
        *r = start;
        second_time = i;
        digest = 14695981039346656037u;
        if (kind == RUNNING) call_running(r, which, objects[i]);
        else if (kind == HISTORY) call_history(r, which, objects[i], other);
        else if (kind == TRACKER) call_tracker(r, which, objects[i], other);
        else call_allocator(r, which, objects[i], &models[slot]);
        found[i] = digest;
        statuses[i] = last_status;
        left[i] = saved(kind, objects[i]);
        if (last_status != V05_STATUS_OK) CHECK(same(left[i], before), "state has changed though the call failed: %s", v05_status_name(last_status));
        clear();
    }
    second_time = 0;
    CHECK(injects || (found[0] == found[1] && same(left[0], left[1])), "a loaded copy goes on differently: %s, the original: %s",
          v05_status_name(statuses[0]), v05_status_name(statuses[1]));
    if (kind == ALLOCATOR) models[slot] = after;
    if (others.bytes) {
        Bytes now = saved(kind, other);
        CHECK(same(others, now), "the other history or tracker has changed");
        free(now.bytes);
        free(others.bytes);
    }
    free(before.bytes);
    free(left[0].bytes);
    free(left[1].bytes);
    destroy(kind, copy);
}

static void replace(void **slot, int kind, void *object) {
    destroy(kind, *slot);
    *slot = object;
}

static void tracker_step(Reader *r, uint8_t code, uint8_t slot) {
    void *loaded = NULL;
    if (code == 0) {
        v05_tracker *created;
        create_tracker(r, &created);
        clear();
        if (created) replace((void **)&trackers[slot], TRACKER, created);
    } else if (code < 13) {
        static const uint8_t calls[] = {0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4};
        if (trackers[slot]) on_object(r, TRACKER, calls[code - 1], trackers[slot], slot);
    } else {
        if (code == 13 && trackers[slot]) call_save(r, TRACKER, trackers[slot]);
        else if (call_load(r, TRACKER, trackers[slot], &loaded)) { clear(); replace((void **)&trackers[slot], TRACKER, loaded); }
        clear();
    }
}

static void step(Reader *r) {
    uint8_t code = byte(r), slot = byte(r) & 1;
    void *loaded = NULL;
    if (code >= 232) {
        twice(r, code & 1 ? call_mixture : call_modulation);
        return;
    }
    if (code >= 216) {
        tracker_step(r, code - 216, slot);
        return;
    }
    switch (code % 32) {
        case 0: case 1: case 2: case 3: twice(r, call_estimate); break;
        case 4: twice(r, call_fit); break;
        case 5: twice(r, call_workspace_size); break;
        case 6: case 7: case 8: twice(r, call_allocation); break;
        case 9: twice(r, call_initialize); break;
        case 10: twice(r, code & 32 ? call_hashes : call_plain); break;
        case 11: { /* running calibration: anew, or some sum changed by hand */
            Range range = any_range(r);
            double discount = any_double(r);
            v05_running_calibration fresh;
            if (v05_running_calibration_initialize(&fresh, sizeof fresh, range.low, range.high, discount, NULL) == V05_STATUS_OK) running = fresh;
            break;
        }
        case 12: case 13: on_object(r, RUNNING, 0, &running, 0); break;
        case 14: on_object(r, RUNNING, 1, &running, 0); break;
        case 15: call_save(r, RUNNING, &running); clear(); break;
        case 16: call_load(r, RUNNING, &running, &loaded); clear(); break;
        case 17: { v05_history *h; create_history(r, &h); clear(); if (h) replace((void **)&histories[slot], HISTORY, h); break; }
        case 18: case 19: case 20: case 21: case 22: if (histories[slot]) on_object(r, HISTORY, code % 32 - 18, histories[slot], slot); break;
        case 23:
            if (byte(r) & 1 && histories[slot]) call_save(r, HISTORY, histories[slot]);
            else if (call_load(r, HISTORY, histories[slot], &loaded)) { clear(); replace((void **)&histories[slot], HISTORY, loaded); }
            clear();
            break;
        case 24: {
            v05_allocator *a;
            Model model;
            create_allocator(r, &a, &model);
            clear();
            if (a) { replace((void **)&allocators[slot], ALLOCATOR, a); models[slot] = model; }
            break;
        }
        case 25: case 26: case 27: if (allocators[slot]) on_object(r, ALLOCATOR, code % 32 - 25, allocators[slot], slot); break;
        case 28: if (allocators[slot]) on_object(r, ALLOCATOR, 3 + byte(r) % 3, allocators[slot], slot); break;
        case 29: if (allocators[slot]) on_object(r, ALLOCATOR, 6, allocators[slot], slot); break;
        case 30: if (allocators[slot]) call_save(r, ALLOCATOR, allocators[slot]); clear(); break;
        default:
            if (call_load(r, ALLOCATOR, allocators[slot], &loaded)) {
                clear();
                replace((void **)&allocators[slot], ALLOCATOR, loaded);
                memset(&models[slot], 0, sizeof models[slot]);
            }
            clear();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Reader r = {data, size, 0, 0};
    program = data;
    program_size = size;
    memset(&running_mixture, 0, sizeof running_mixture);
    v05_running_calibration_initialize(&running, sizeof running, 0, 1, 0.9, NULL);
    for (int steps = 0; r.left > 0 && steps < 24; steps++) step(&r);
    for (int i = 0; i < 2; i++) {
        v05_history_destroy(histories[i]);
        v05_tracker_destroy(trackers[i]);
        trackers[i] = NULL;
        v05_allocator_destroy(allocators[i]);
        histories[i] = NULL;
        allocators[i] = NULL;
    }
    return 0;
}
