/* Batches, options and models of any kind, what they describe of themselves, and what holds of every estimate. */
#include "batches.h"

Range any_range(Reader *r) {
    static const Range table[] = {{0, 1}, {-1, 1}, {0, 100}, {-1e30, 1e30}, {0, 1e-300}, {5, 5.0000001}, {-3, 2},
                                  {1e29, 1e30}, {0, 5e-324}, {1, 0}, {0, 0}, {-INFINITY, 1}, {0, NAN}, {-1e-160, 1e-160}};
    uint8_t choice = byte(r);
    if (choice < 180) return table[0];
    if (choice < 250) return table[choice % (sizeof table / sizeof *table)];
    Range range; range.low = any_double(r); range.high = any_double(r);
    return range;
}

AnyBatch any_batch(Reader *outer, Range range) {
    AnyBatch result = {0};
    Reader inner = *outer, *r = outer;
    int64_t n = byte(outer);
    if (n >= 240) { /* larger than the input: made by a generator */
        n = n == 255 ? 4000 : (n - 239) * 50;
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
    int64_t *ids = calloc(n + 1, 8), *offsets = __real_malloc(n * 8 + 64), groups = 0;
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

    misalignment = id_kind & 32 ? 1 + kind % 7 : 0;
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
        if (how & 1) batch.row_count = how & 128 ? -1 - (any_integer(outer) & 7) : 2147483648ll + (int64_t)byte(outer);
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

const v05_mixture *any_mixture(Reader *r, Range range) {
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

const v05_estimation_options *any_estimation_options(Reader *r, Range range, v05_estimation_options *seen,
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
    if ((flags & 72) == 72 && o.rule == V05_RULE_RLOO) o.rule = V05_RULE_JSPO;
    if ((flags & 6) == 6) o.check_fit = 0;
    if (flags == 250) { o.leave_one_out = (int32_t)any_integer(r); o.ddof = (int32_t)any_integer(r); }
    if (flags & 128 && o.rule == V05_RULE_DISCOUNTED_BETA) {
        o.rule = V05_RULE_MIXTURE;
        *mixture = any_mixture(r, range);
    }
    *seen = o;
    return sized_struct(r, seen, sizeof o, &defaults, 0);
}

const v05_calibration *any_calibration(Reader *r, Range range) {
    uint8_t flags = byte(r);
    if (flags < 96) return NULL;
    double h = (range.high - range.low) / 2;
    v05_calibration c = {sizeof c, range.low + h * (byte(r) / 255.0), byte(r) / 170.0, h * h * (byte(r) / 255.0),
                         h * h * (byte(r) / 255.0), range.low + h, h * h * (byte(r) / 255.0), 4 + byte(r) % 100, 200};
    if (flags > 200) ((double *)&c)[1 + byte(r) % 8] = any_double(r);
    return sized_struct(r, &c, sizeof c, NULL, 0);
}

void *workspace(Reader *r, const AnyBatch *batch, const v05_estimation_options *options, size_t *size) {
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

int workspace_begin(Reader *r, const char *name) {
    begin(r, name);
    /* The workspace may change on failure. */
    for (int i = 0; i < block_count; i++)
        if (blocks[i].is_output == 2) { free(blocks[i].before); blocks[i].before = NULL; blocks[i].size = 0; }
    return injects;
}

static int id_less(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t number_of_groups(const AnyBatch *b) {
    if (b->seen.group_offsets) return b->seen.group_count;
    int64_t n = b->rows, found = 0;
    int64_t *sorted = __real_malloc(n * 8 + 8);
    if (n) memcpy(sorted, b->seen.group_ids, n * 8);
    qsort(sorted, n, 8, id_less);
    for (int64_t i = 0; i < n; i++) found += i == 0 || sorted[i] != sorted[i - 1];
    free(sorted);
    return found;
}

AnyEstimate any_estimate(Reader *r, int64_t rows, int64_t groups, int is_single, const void *rewards) {
    AnyEstimate e = {0};
    v05_estimate s = {.struct_size = sizeof s};
    uint8_t first = byte(r), wanted = byte(r) ^ 0xFF, capacity = byte(r);
    s.group_capacity = capacity < 200 ? groups : capacity < 225 ? rows : capacity < 240 ? groups - 1 : any_integer(r);
    int64_t room = s.group_capacity < 0 ? 0 : s.group_capacity;
    if (s.group_capacity > 2000) room = groups > rows ? groups : rows; /* more there cannot be */
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

void check_estimate(const AnyEstimate *e, int64_t rows, const uint8_t *mask, int64_t counted, const v05_estimation_options *o) {
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
    CHECK(out.applied_rule >= 0 && out.applied_rule <= V05_RULE_JSPO, "applied_rule %d", out.applied_rule);
    CHECK(out.calibration_applied == 0 || out.calibration_applied == 1, "calibration_applied");
    if (s->row_group)
        for (int64_t i = 0; i < rows; i++)
            CHECK(s->row_group[i] >= 0 && s->row_group[i] < out.group_count, "row_group %lld", (long long)s->row_group[i]);
    double lo = out.reward_low, hi = out.reward_high, h = (hi - lo) / 2;
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
    if (s->count && counted >= 0) CHECK(sum == counted, "counts sum to %lld, not %lld", (long long)sum, (long long)counted);
}

void check_calibration(const v05_calibration *c, const char *what) {
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

const AnyBatch *described_batch;
const v05_estimation_options *described_options;
const v05_calibration *described_calibration;

DescribedAllocation described_allocation;

void describe(void) {
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
