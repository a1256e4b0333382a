/* A host whose processor traps at invalid operations, divisions by zero and overflow, or rounds otherwise: every call that
 * a training step makes, in the usual mode and in the host's. Prints what differs, and "the same" where nothing does. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <v05.h>

enum { ROWS = 240, GROUPS = 60, TOKENS = 50 };

static uint64_t state;
static uint64_t hash;
static unsigned calls, refused;

static double random_number(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* Everything that a call gives goes into one number. */
static void note(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

/* The mode of the host, and its way through a call. */
static int rounding, traps, lost;

static void enter(void) {
    fesetround(rounding);
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(traps);
}

static void leave(v05_status found) {
    lost |= fegetround() != rounding || fegetexcept() != traps;
    fedisableexcept(FE_ALL_EXCEPT);
    fesetround(FE_TONEAREST);
    calls++;
    refused += found != V05_STATUS_OK;
    note(&found, sizeof found);
}

#define status(call)              \
    do {                          \
        enter();                  \
        v05_status found_ = call; \
        leave(found_);            \
    } while (0)

/* The whole of one step with rewards low and high; `hash` is what came out. */
static void step(double low, double high) {
    double rewards[ROWS], priors[ROWS], strengths[ROWS], weights[ROWS], advantages[ROWS];
    float single[ROWS], results[ROWS];
    int64_t ids[ROWS];
    uint8_t mask[ROWS];
    state = 7;
    for (int i = 0; i < ROWS; i++) {
        ids[i] = (int64_t)(random_number() * GROUPS);
        rewards[i] = random_number() < 0.3 ? high : low;
        single[i] = (float)rewards[i];
        weights[i] = i % 11 ? random_number() : 0;
        mask[i] = i % 13 != 0;
    }
    for (int i = 0; i < ROWS; i++) {
        double share = (double)(ids[i] * 37 % 101) / 101;
        priors[i] = ids[i] % 7 ? low + (high - low) * share : NAN;
        strengths[i] = (double)(ids[i] % 5);
    }
    v05_batch batch = {.struct_size = sizeof batch, .row_count = ROWS, .rewards_f64 = rewards, .group_ids = ids,
                       .prior = priors, .prior_strength = strengths};
    v05_estimation_options options;
    status(v05_estimation_options_initialize(&options, sizeof options, NULL));
    options.reward_low = low;
    options.reward_high = high;

    v05_calibration calibration = {.struct_size = sizeof calibration};
    v05_mixture mixture = {.struct_size = sizeof mixture};
    v05_running_calibration running;
    v05_running_mixture running_mixture;
    status(v05_calibration_fit(&batch, &options, NULL, 0, &calibration, NULL));
    status(v05_mixture_fit(&batch, &options, NULL, 0, &mixture, NULL));
    status(v05_running_calibration_initialize(&running, sizeof running, low, high, 0.9, NULL));
    status(v05_running_mixture_initialize(&running_mixture, sizeof running_mixture, low, high, 0.9, NULL));
    for (int i = 0; i < 2; i++) {
        status(v05_running_calibration_update(&running, &batch, NULL, 0, NULL));
        status(v05_running_mixture_update(&running_mixture, &batch, NULL, 0, NULL));
    }
    status(v05_running_calibration_solve(&running, &calibration, NULL));
    status(v05_running_mixture_solve(&running_mixture, &mixture, NULL));
    note(&calibration, sizeof calibration);
    note(&mixture, sizeof mixture);
    uint8_t bytes[8192];
    size_t size;
    status(v05_running_calibration_save(&running, bytes, sizeof bytes, &size, NULL));
    status(v05_running_calibration_load(&running, bytes, size, NULL));
    status(v05_running_mixture_save(&running_mixture, bytes, sizeof bytes, &size, NULL));
    status(v05_running_mixture_load(&running_mixture, bytes, size, NULL));

    for (int choice = 0; choice < (V05_RULE_JSPO + 1) * 32; choice++) {
        options.rule = choice / 32;
        options.leave_one_out = choice & 1;
        options.test = choice >> 1 & 1;
        options.scale = choice & 4 ? V05_SCALE_GROUP : choice & 8 ? V05_SCALE_BATCH : V05_SCALE_NONE;
        int is_weighted = choice & 16 && !options.test && options.rule != V05_RULE_MIXTURE &&
                          options.rule != V05_RULE_MEDIAN;
        v05_batch given = batch;
        given.weights = is_weighted ? weights : NULL;
        given.mask = choice & 8 ? mask : NULL;
        int64_t counts[GROUPS], groups[ROWS];
        double mean[GROUPS], weight[GROUPS], baseline[GROUPS], bias[GROUPS], mse[GROUPS], z[GROUPS], p[GROUPS];
        v05_estimate estimate = {.struct_size = sizeof estimate, .advantages_f64 = advantages, .row_group = groups,
                                 .group_capacity = GROUPS, .count = counts, .mean = mean, .weight = weight,
                                 .baseline = baseline, .bias_squared = bias, .mse = mse, .z = z, .p_value = p};
        for (int learnt = 0; learnt < 2; learnt++) {
            memset(advantages, 0, sizeof advantages);
            memset(baseline, 0, sizeof baseline);
            memset(mse, 0, sizeof mse);
            status(v05_baseline_estimate(&given, &options, learnt ? &calibration : NULL, learnt ? &mixture : NULL, NULL, 0,
                                         &estimate, NULL));
            note(advantages, sizeof advantages);
            note(baseline, sizeof baseline);
            note(mse, sizeof mse);
        }
        if (low != (float)low || high != (float)high || choice & 16) continue;
        given.rewards_f64 = NULL;
        given.rewards_f32 = single;
        v05_estimate fast = {.struct_size = sizeof fast, .advantages_f32 = results};
        memset(results, 0, sizeof results);
        status(v05_baseline_estimate(&given, &options, NULL, NULL, NULL, 0, &fast, NULL));
        note(results, sizeof results);
        status(v05_estimation_workspace_size(&given, &options, &size, NULL));
    }

    v05_history_options history_options;
    status(v05_history_options_initialize(&history_options, sizeof history_options, NULL));
    history_options.reward_low = low;
    history_options.reward_high = high;
    history_options.step_decay = 0.5;
    v05_history *history = NULL, *other = NULL;
    status(v05_history_create(&history_options, &history, NULL));
    double values[ROWS], worth[ROWS];
    for (int i = 0; i < 3; i++) {
        memset(values, 0, sizeof values);
        memset(worth, 0, sizeof worth);
        status(v05_history_predict(history, ids, ROWS, 1000 * i, values, worth, NULL));
        note(values, sizeof values);
        note(worth, sizeof worth);
        batch.weights = i == 1 ? weights : NULL;
        status(v05_history_record(history, &batch, 1000 * i, NULL));
    }
    batch.weights = NULL;
    int64_t fresh[2] = {1000, 1001};
    double start[2] = {low, NAN}, start_strength[2] = {3, 0};
    status(v05_history_start(history, fresh, start, start_strength, 2, 3000, NULL));
    status(v05_history_save(history, bytes, sizeof bytes, &size, NULL));
    status(v05_history_load(&other, bytes, size, NULL));
    status(v05_history_merge(history, other, NULL));
    status(v05_history_predict(history, ids, ROWS, 2100000000, values, worth, NULL));
    note(values, sizeof values);
    v05_history_destroy(history);
    v05_history_destroy(other);

    double probability[GROUPS];
    int64_t counts[GROUPS], seen[GROUPS];
    for (int i = 0; i < GROUPS; i++) {
        probability[i] = i % 9 == 8 ? NAN : i % 9 == 7 ? 0 : i % 9 == 6 ? 1 : random_number();
        seen[i] = i % 4;
    }
    v05_allocation_options allocation;
    status(v05_allocation_options_initialize(&allocation, sizeof allocation, NULL));
    for (int i = 0; i < 10; i++) {
        allocation.objective = i / 2;
        allocation.maximum = 30;
        status(v05_allocation_solve(&allocation, GROUPS, probability, i & 1 ? seen : NULL, i & 1 ? strengths : NULL, 400,
                                    counts, NULL));
        note(counts, sizeof counts);
    }

    double known[GROUPS];
    for (int i = 0; i < GROUPS; i++) known[i] = i % 6 == 5 ? NAN : low + (high - low) * random_number();
    for (int i = 0; i < 12; i++) {
        v05_allocator_options how;
        status(v05_allocator_options_initialize(&how, sizeof how, NULL));
        how.rule = i & 1;
        how.look_ahead = i / 2 % 3;
        how.reward_low = low;
        how.reward_high = high;
        how.budget = i >= 6 ? 500 : -1;
        v05_allocator *allocator = NULL, *loaded = NULL;
        status(v05_allocator_create(&how, GROUPS, known, NULL, NULL, i % 3 == 1 ? &calibration : NULL,
                                    i % 3 == 2 ? &mixture : NULL, &allocator, NULL));
        for (int round = 0; round < 30 && allocator; round++) {
            int64_t sum = 0, prompt[GROUPS * 16];
            double found[GROUPS * 16], found_weights[GROUPS * 16];
            status(v05_allocator_request(allocator, counts, GROUPS, &sum, NULL));
            note(counts, sizeof counts);
            int64_t count = 0;
            for (int j = 0; j < GROUPS; j++)
                for (int64_t n = 0; n < counts[j]; n++) {
                    found[count] = random_number() < 0.5 ? high : low;
                    found_weights[count] = random_number();
                    prompt[count++] = j;
                }
            if (sum == 0) break;
            if (round % 2 && i % 3 != 2)
                status(v05_allocator_observe_weighted(allocator, prompt, found, found_weights, count, NULL));
            else
                status(v05_allocator_observe(allocator, prompt, found, count, NULL));
        }
        double observed[GROUPS * 16];
        memset(observed, 0, sizeof observed);
        v05_estimate estimate = {.struct_size = sizeof estimate, .advantages_f64 = observed};
        status(v05_allocator_estimate(allocator, NULL, &estimate, NULL));
        note(observed, sizeof observed);
        uint8_t saved[1 << 16];
        status(v05_allocator_save(allocator, saved, sizeof saved, &size, NULL));
        status(v05_allocator_load(&loaded, saved, size, NULL));
        v05_allocator_destroy(loaded);
        v05_allocator_destroy(allocator);
    }

    double given[4][TOKENS], modulated[TOKENS];
    float given_f32[4][TOKENS], modulated_f32[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        given[0][i] = random_number() - 0.5;
        given[1][i] = 3 * random_number();
        given[2][i] = i % 8 ? -random_number() : -INFINITY;
        given[3][i] = i % 8 > 1 ? -random_number() : i % 8 ? -800 : -INFINITY;
        mask[i] = i % 5 != 4;
        if (!mask[i]) given[0][i] = given[1][i] = given[2][i] = NAN;
        for (int j = 0; j < 4; j++) given_f32[j][i] = (float)given[j][i];
    }
    v05_modulation_options token_options;
    status(v05_modulation_options_initialize(&token_options, sizeof token_options, NULL));
    status(v05_advantage_modulate_f64(&token_options, 5, TOKENS / 5, given[0], 1, given[1], given[2], given[3], mask,
                                      modulated, NULL, NULL));
    status(v05_advantage_modulate_f32(&token_options, 5, TOKENS / 5, given_f32[0], 1, given_f32[1], given_f32[2],
                                      given_f32[3], mask, modulated_f32, NULL, NULL));
    note(modulated, sizeof modulated);
    note(modulated_f32, sizeof modulated_f32);

    /* A refusal with a number in its message, too. */
    v05_error error = {.struct_size = sizeof error};
    options.rule = V05_RULE_V05;
    options.reward_low = 1e-310;
    status(v05_baseline_estimate(&batch, &options, NULL, NULL, NULL, 0, &(v05_estimate){.struct_size = sizeof(v05_estimate)},
                                 &error));
    note(error.message, sizeof error.message);
    int64_t key;
    status(v05_key_hash((const uint8_t *)"prompt", 6, &key, NULL));
}

int main(void) {
    static const double ranges[][2] = {{0, 1}, {-1, 1}, {0, 1e-155}, {0, 1e-300}, {-1e30, 1e30}};
    static const int directions[] = {FE_TONEAREST, FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    int differ = 0;
    for (unsigned range = 0; range < sizeof ranges / sizeof *ranges; range++) {
        uint64_t usual = 0;
        for (int mode = 0; mode < 5; mode++) {
            hash = 14695981039346656037u;
            calls = refused = 0;
            rounding = directions[mode];
            traps = mode == 1 ? FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW : 0;
            step(ranges[range][0], ranges[range][1]);
            if (mode == 0) {
                usual = hash;
                printf("%g to %g: %u calls, %u refused\n", ranges[range][0], ranges[range][1], calls, refused);
            }
            if (hash != usual || lost) {
                printf("%g to %g, mode %d: %s\n", ranges[range][0], ranges[range][1], mode,
                       lost ? "the host's mode is lost" : "other results");
                differ = 1;
            }
        }
    }
    puts(differ ? "different" : "the same");
    return differ;
}
