/* Saved bytes of every kind of object: sound, damaged and made up. */
#include "checkpoints.h"

static v05_status save_any(int kind, const void *object, uint8_t *bytes, size_t capacity, size_t *size, v05_error *error) {
    return kind == RUNNING           ? v05_running_calibration_save(object, bytes, capacity, size, error)
           : kind == RUNNING_MIXTURE ? v05_running_mixture_save(object, bytes, capacity, size, error)
           : kind == HISTORY ? v05_history_save(object, bytes, capacity, size, error)
           : kind == TRACKER ? v05_tracker_save(object, bytes, capacity, size, error)
                             : v05_allocator_save(object, bytes, capacity, size, error);
}

static v05_status load_any(int kind, void *target, const uint8_t *bytes, size_t size, v05_error *error) {
    return kind == RUNNING           ? v05_running_calibration_load(target, bytes, size, error)
           : kind == RUNNING_MIXTURE ? v05_running_mixture_load(target, bytes, size, error)
           : kind == HISTORY ? v05_history_load(target, bytes, size, error)
           : kind == TRACKER ? v05_tracker_load(target, bytes, size, error)
                             : v05_allocator_load(target, bytes, size, error);
}

Bytes saved(int kind, const void *object) {
    Bytes b = {0};
    CHECK(save_any(kind, object, NULL, 0, &b.size, NULL) == V05_STATUS_OK, "size query failed, kind %d", kind);
    b.bytes = __real_malloc(b.size);
    size_t size = 0;
    CHECK(save_any(kind, object, b.bytes, b.size, &size, NULL) == V05_STATUS_OK && size == b.size, "save failed");
    return b;
}

int same(Bytes a, Bytes b) { return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0; }

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

void *copy_of(int kind, const void *object) {
    static v05_running_calibration value;
    static v05_running_mixture mixture;
    Bytes b = saved(kind, object);
    void *copy = NULL;
    v05_error error = {.struct_size = sizeof error};
    if (kind == RUNNING) {
        CHECK(v05_running_calibration_initialize(&value, sizeof value, 0, 1, 1, NULL) == V05_STATUS_OK, "initialize");
        CHECK(load_any(kind, &value, b.bytes, b.size, &error) == V05_STATUS_OK, "saved bytes are refused: %s", error.message);
        copy = &value;
    } else if (kind == RUNNING_MIXTURE) {
        CHECK(v05_running_mixture_initialize(&mixture, sizeof mixture, 0, 1, 1, NULL) == V05_STATUS_OK, "initialize");
        CHECK(load_any(kind, &mixture, b.bytes, b.size, &error) == V05_STATUS_OK, "saved bytes are refused: %s", error.message);
        copy = &mixture;
    } else
        CHECK(load_any(kind, &copy, b.bytes, b.size, &error) == V05_STATUS_OK, "saved bytes of kind %d are refused: %s", kind, error.message);
    Bytes again = saved(kind, copy);
    CHECK(same(b, again), "saved bytes of kind %d differ after loading", kind);
    free(b.bytes);
    free(again.bytes);
    return copy;
}

void destroy(int kind, void *object) {
    if (kind == HISTORY) v05_history_destroy(object);
    if (kind == TRACKER) v05_tracker_destroy(object);
    if (kind == ALLOCATOR) v05_allocator_destroy(object);
}

void call_save(Reader *r, int kind, void *object) {
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

int call_load(Reader *r, int kind, const void *object, void **loaded) {
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
    static v05_running_calibration value;
    static v05_running_mixture mixture;
    int is_struct = kind == RUNNING || kind == RUNNING_MIXTURE;
    size_t known = kind == RUNNING ? sizeof value : sizeof mixture;
    void *target;
    if (is_struct) {
        v05_running_mixture any;
        memset(&any, 0xA5, sizeof any);
        target = sized_struct(r, &any, known, NULL, 1);
    } else {
        target = output(sizeof(void *));
        unhashed(target, sizeof(void *));
    }
    if (chance(r, 4)) target = NULL;
    size_t said = chance(r, 4) ? (size_t)-1 : size;
    v05_error *error = error_argument(r);
    begin(r, kind == RUNNING ? "v05_running_calibration_load" : kind == RUNNING_MIXTURE ? "v05_running_mixture_load"
             : kind == HISTORY ? "v05_history_load" : kind == TRACKER ? "v05_tracker_load" : "v05_allocator_load");
    if (!ended(load_any(kind, target, bytes, said, error))) return 0;
    if (is_struct) {
        if (longest_struct != known) return 0;
        *loaded = kind == RUNNING ? (void *)&value : (void *)&mixture;
        memcpy(*loaded, target, known);
    } else memcpy(loaded, target, sizeof(void *));
    /* Bytes that save did not make may mean the same as others; what is saved from here on is stable. */
    Bytes again = saved(kind, *loaded);
    hash(again.bytes, again.size);
    free(again.bytes);
    destroy(kind, copy_of(kind, *loaded));
    return 1;
}
