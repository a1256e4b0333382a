/* Defaults of options, keys of texts, names and numbers. */
#include "families.h"

void call_initialize(Reader *r) {
    uint8_t which = byte(r);
    static const size_t sizes[] = {sizeof(v05_estimation_options), sizeof(v05_allocation_options),
                                   sizeof(v05_allocator_options), sizeof(v05_history_options), sizeof(v05_running_calibration),
                                   sizeof(v05_tracker_options), sizeof(v05_modulation_options), sizeof(v05_running_mixture)};
    int kind = which < 240 ? which % 6 : 6 + which % 2;
    size_t known = sizes[kind], size = byte(r) < 200 ? known : (size_t)any_integer(r);
    if (byte(r) > 128) size = 8 * (1 + byte(r) % (known / 8 + 2));
    void *memory = chance(r, 8) ? NULL : output(size > 4096 ? known : size);
    Range range = any_range(r);
    double discount = any_double(r);
    v05_error *error = error_argument(r);
    begin(r, "v05_..._initialize");
    v05_status status =
        kind == 0   ? v05_estimation_options_initialize(memory, size, error)
        : kind == 1 ? v05_allocation_options_initialize(memory, size, error)
        : kind == 2 ? v05_allocator_options_initialize(memory, size, error)
        : kind == 3 ? v05_history_options_initialize(memory, size, error)
        : kind == 4 ? v05_running_calibration_initialize(memory, size, range.low, range.high, discount, error)
        : kind == 5 ? v05_tracker_options_initialize(memory, size, error)
        : kind == 6 ? v05_modulation_options_initialize(memory, size, error)
                    : v05_running_mixture_initialize(memory, size, range.low, range.high, discount, error);
    if (ended(status)) CHECK(*(size_t *)memory == size, "struct_size is not set");
}

void call_plain(Reader *r) {
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

void call_hashes(Reader *r) {
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
