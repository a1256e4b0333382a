/* Modulation of tokens. */
#include "families.h"

void call_modulation(Reader *r) {
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
