/* Every call that takes more than a few words of memory, in a thread with the smallest stack that there is (16 KB). */
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <v05.h>

enum { ROWS = 300, PROMPTS = 60 };

static double rewards[ROWS], priors[ROWS], weights[ROWS], advantages[ROWS];
static int64_t ids[ROWS], counts[PROMPTS], prompts[PROMPTS * 16];
static double found[PROMPTS * 16];
static uint8_t bytes[1 << 17];
static size_t size;
static v05_error error = {.struct_size = sizeof error};
static v05_batch batch = {.struct_size = sizeof batch, .row_count = ROWS, .rewards_f64 = rewards, .group_ids = ids,
                          .prior = priors};
static v05_estimate estimate = {.struct_size = sizeof estimate, .advantages_f64 = advantages};
static v05_estimation_options options;
static v05_calibration calibration = {.struct_size = sizeof calibration};
static v05_mixture mixture = {.struct_size = sizeof mixture};
static v05_running_calibration running;
static v05_running_mixture running_mixture;
static v05_allocator_options allocator_options;
static v05_allocation_options allocation_options;
static float entropies[4096], log_probs[4096], modulated[4096];
static uint8_t mask[4096];

#define TRY(call)                                          \
    do {                                                   \
        if ((call) != V05_STATUS_OK) return error.message; \
    } while (0)

static void *work(void *unused) {
    (void)unused;
    TRY(v05_estimation_options_initialize(&options, sizeof options, &error));
    TRY(v05_calibration_fit(&batch, &options, NULL, 0, &calibration, &error));
    TRY(v05_mixture_fit(&batch, &options, NULL, 0, &mixture, &error));
    options.leave_one_out = 1;
    for (int choice = 0; choice < 4 * (V05_RULE_JSPO + 1); choice++) {
        options.rule = choice / 4;
        options.test = choice & 1;
        int is_weighted = choice & 2 && !options.test && options.rule != V05_RULE_MIXTURE &&
                          options.rule != V05_RULE_MEDIAN;
        batch.weights = is_weighted ? weights : NULL;
        TRY(v05_baseline_estimate(&batch, &options, NULL, NULL, NULL, 0, &estimate, &error));
        TRY(v05_baseline_estimate(&batch, &options, &calibration, &mixture, NULL, 0, &estimate, &error));
    }
    batch.weights = NULL;
    TRY(v05_running_calibration_initialize(&running, sizeof running, 0, 1, 0.9, &error));
    TRY(v05_running_calibration_update(&running, &batch, NULL, 0, &error));
    TRY(v05_running_calibration_save(&running, bytes, sizeof bytes, &size, &error));
    TRY(v05_running_calibration_load(&running, bytes, size, &error));
    TRY(v05_running_mixture_initialize(&running_mixture, sizeof running_mixture, 0, 1, 0.9, &error));
    TRY(v05_running_mixture_update(&running_mixture, &batch, NULL, 0, &error));
    TRY(v05_running_mixture_solve(&running_mixture, &mixture, &error));
    TRY(v05_running_mixture_save(&running_mixture, bytes, sizeof bytes, &size, &error));
    TRY(v05_running_mixture_load(&running_mixture, bytes, size, &error));

    v05_history *history = NULL;
    TRY(v05_history_create(NULL, &history, &error));
    TRY(v05_history_record(history, &batch, 0, &error));
    TRY(v05_history_save(history, bytes, sizeof bytes, &size, &error));
    v05_history_destroy(history);
    TRY(v05_history_load(&history, bytes, size, &error));
    TRY(v05_history_predict(history, ids, ROWS, 1, advantages, NULL, &error));
    v05_history_destroy(history);

    v05_tracker *tracker = NULL;
    TRY(v05_tracker_create(NULL, &tracker, &error));
    TRY(v05_tracker_record(tracker, &batch, &error));
    TRY(v05_tracker_fuse(tracker, &batch, 1, advantages, &error));
    TRY(v05_tracker_save(tracker, bytes, sizeof bytes, &size, &error));
    v05_tracker_destroy(tracker);
    TRY(v05_tracker_load(&tracker, bytes, size, &error));
    v05_tracker_destroy(tracker);

    for (int kind = 0; kind < 6; kind++) {
        v05_allocator *allocator = NULL;
        TRY(v05_allocator_options_initialize(&allocator_options, sizeof allocator_options, &error));
        allocator_options.rule = kind / 3;
        allocator_options.budget = kind & 1 ? 600 : -1;
        TRY(v05_allocator_create(&allocator_options, PROMPTS, priors, NULL, NULL, kind % 3 == 1 ? &calibration : NULL,
                                 kind % 3 == 2 ? &mixture : NULL, &allocator, &error));
        for (int round = 0; round < 3; round++) {
            int64_t count = 0;
            TRY(v05_allocator_request(allocator, counts, PROMPTS, NULL, &error));
            for (int i = 0; i < PROMPTS; i++)
                for (int64_t n = 0; n < counts[i]; n++) {
                    found[count] = (double)((i + n) % 2);
                    prompts[count++] = i;
                }
            if (round && kind % 3 < 2)
                TRY(v05_allocator_observe_weighted(allocator, prompts, found, weights, count < ROWS ? count : 0, &error));
            else
                TRY(v05_allocator_observe(allocator, prompts, found, count, &error));
        }
        v05_estimate whole = {.struct_size = sizeof whole};
        if (kind % 3 < 2) TRY(v05_allocator_estimate(allocator, NULL, &whole, &error));
        TRY(v05_allocator_save(allocator, bytes, sizeof bytes, &size, &error));
        v05_allocator_destroy(allocator);
        TRY(v05_allocator_load(&allocator, bytes, size, &error));
        v05_allocator_destroy(allocator);
    }
    for (int objective = 0; objective < 5; objective++) {
        TRY(v05_allocation_options_initialize(&allocation_options, sizeof allocation_options, &error));
        allocation_options.objective = objective;
        allocation_options.maximum = 20;
        TRY(v05_allocation_solve(&allocation_options, PROMPTS, priors, NULL, NULL, 400, counts, &error));
    }
    TRY(v05_advantage_modulate_f32(NULL, 8, 512, log_probs, 1, entropies, log_probs, log_probs, mask, modulated, NULL,
                                   &error));
    /* A refusal with numbers in its message. */
    options.reward_low = 0.25;
    if (v05_baseline_estimate(&batch, &options, NULL, NULL, NULL, 0, &estimate, &error) == V05_STATUS_OK)
        return "a reward below the range was taken";
    return NULL;
}

int main(void) {
    for (int i = 0; i < ROWS; i++) {
        ids[i] = i % PROMPTS;
        rewards[i] = i * 7 % 3 == 0;
        priors[i] = (double)(ids[i] * 37 % 101) / 101;
        weights[i] = i % 5 * 0.5;
    }
    for (int i = 0; i < 4096; i++) {
        log_probs[i] = -0.3f * (float)(i % 7);
        mask[i] = 1;
    }
    pthread_attr_t attributes;
    pthread_t thread;
    const char *failed = "no thread with that stack";
    if (pthread_attr_init(&attributes) == 0 &&
        pthread_attr_setstacksize(&attributes, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0 &&
        pthread_create(&thread, &attributes, work, NULL) == 0)
        pthread_join(thread, (void **)(void *)&failed);
    puts(failed ? failed : "all in 16 KB");
    return failed != NULL;
}
