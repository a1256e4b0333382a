/* Memory, arguments and checks of a fuzzed call. */
#include <stdarg.h>

#include "program.h"

const char *current = "";
const uint8_t *program;
size_t program_size;

/* V05_FUZZ_COLLECT=folder: goes on after a broken promise, and keeps the shortest input for each in the folder. */
void broken(const char *file, int line, const char *condition, const char *format, ...) {
    static size_t shortest[4096];
    const char *folder = getenv("V05_FUZZ_COLLECT"), *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t place = (size_t)line;
    for (const char *c = name; *c; c++) place = place * 31 + (unsigned char)*c;
    place %= 4096;
    if (folder && shortest[place] && shortest[place] <= program_size) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "\nPROMISE BROKEN by %s (%s:%d: %s): ", current, name, line, condition);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    describe();
    if (!folder) abort();
    shortest[place] = program_size;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%d", folder, name, line);
    FILE *kept = fopen(path, "wb");
    if (kept) { fwrite(program, 1, program_size, kept); fclose(kept); }
}

/* ---- memory: the Nth allocation of a call can be made to fail (linked with --wrap) ---- */

int64_t failing_allocation = -1;

static int allocation_fails(void) { return failing_allocation >= 0 && failing_allocation-- == 0; }
void *__wrap_malloc(size_t size) { return allocation_fails() ? NULL : __real_malloc(size); }
void *__wrap_realloc(void *old, size_t size) { return allocation_fails() ? NULL : __real_realloc(old, size); }

/* ---- the input ---- */

uint8_t byte(Reader *r) {
    if (r->expands) {
        r->random = r->random * 6364136223846793005u + 1442695040888963407u;
        return (uint8_t)(r->random >> 56);
    }
    if (r->left == 0) return 0;
    r->left--;
    return *r->next++;
}

int chance(Reader *r, int of256) { return byte(r) > 255 - of256; } /* 0 bytes: no */

uint64_t word(Reader *r) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | byte(r);
    return value;
}

static double from_bits(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }

double any_double(Reader *r) {
    static const double table[] = {0, 1, 0.5, -1, 0.25, 2, 1e-6, 1e30, -1e30, 1e31, 1e-300, 5e-324, -0.0,
                                   NAN, INFINITY, -INFINITY, 1.0000005, -0.0000005, 1e15, 0.05, 100, 1e308};
    uint8_t choice = byte(r);
    if (choice < sizeof table / sizeof *table) return table[choice];
    if (choice > 245) return from_bits(word(r));
    return byte(r) / 255.0;
}

int64_t any_integer(Reader *r) {
    static const int64_t table[] = {0, 1, 2, 3, 4, 8, 16, 64, -1, 2147483647, 2147483648, INT64_MAX, INT64_MIN,
                                    INT64_MAX - 1, -2147483648ll, 4294967296ll, 1ll << 53, 1ll << 62, 1000, 100000};
    uint8_t choice = byte(r);
    if (choice < sizeof table / sizeof *table) return table[choice];
    if (choice > 250) return (int64_t)word(r);
    return byte(r);
}

int32_t any_choice(Reader *r, int known) { /* mostly a known number of an enum */
    uint8_t choice = byte(r);
    return choice < 248 ? choice % known : (int32_t)any_integer(r);
}

/* ---- one call: its memory, what must not change, and a digest of its results ---- */

Block blocks[160];
int block_count;
int misalignment;
uint64_t digest;
int second_time;
int injects;
v05_status last_status;
size_t longest_struct;

void hash(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) digest = (digest ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

static void *block(size_t size, int is_output, const void *contents) {
    CHECK(block_count < 160, "too many blocks");
    Block *b = &blocks[block_count++];
    b->shift = misalignment;
    b->memory = (uint8_t *)__real_malloc(size + (size_t)misalignment) + misalignment;
    b->size = size;
    b->is_output = is_output;
    b->hashed_from = 0;
    b->before = NULL;
    if (contents) memcpy(b->memory, contents, size); else memset(b->memory, 0xA5, size);
    return b->memory;
}

void *input(size_t size, const void *contents) { return block(size, 0, contents); }
void *output(size_t size) { return block(size, 1, NULL); }
void unhashed(void *memory, size_t first) {
    for (int i = 0; i < block_count; i++) if (blocks[i].memory == memory) blocks[i].hashed_from = first;
}

void *sized_struct(Reader *r, void *value, size_t known, const void *defaults, int is_output) {
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
    int shift = misalignment;
    misalignment = 0; /* structs are where the compiler wants them */
    void *memory = block(there, is_output, bytes);
    misalignment = shift;
    if (defaults) memcpy(value, defaults, known); else memset(value, 0, known);
    memcpy(value, bytes, there < known ? there : known);
    free(bytes);
    longest_struct = there;
    return memory;
}

static v05_error *error_block;
static int error_is_whole;

v05_error *error_argument(Reader *r) {
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
void begin(Reader *r, const char *name) {
    current = name;
    for (int i = 0; i < block_count; i++) {
        blocks[i].before = __real_malloc(blocks[i].size);
        memcpy(blocks[i].before, blocks[i].memory, blocks[i].size);
    }
    uint8_t choice = byte(r);
    injects = choice > 246;
    failing_allocation = injects ? choice - 247 : -1;
}

int ended(v05_status status) {
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

void clear(void) {
    for (int i = 0; i < block_count; i++) {
        free((uint8_t *)blocks[i].memory - blocks[i].shift);
        free(blocks[i].before);
    }
    block_count = 0;
    misalignment = 0;
    free(error_block);
    error_block = NULL;
}

void twice(Reader *r, void (*call)(Reader *)) {
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
