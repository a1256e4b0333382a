/* Calls libv05 with what comes on standard input and writes what it answers, byte for byte: where there is no Python, two
 * platforms are compared by what this prints. test_release.py writes the input and reads the output.
 *
 *     replay estimate < cases > answers
 *     replay history < saved > saved_again        also tracker, allocator, running_calibration, running_mixture
 *
 * A case of estimate is int64 rows, prior given, mask given, calibration given; v05_estimation_options; v05_calibration;
 * then the arrays of `rows` elements: rewards, groups, and those that are given of prior and mask. */
#include <stdio.h>
#include <stdlib.h>

#include <v05.h>

static void *read_bytes(size_t size) {
    void *bytes = malloc(size + 1);
    if (bytes == NULL || fread(bytes, 1, size, stdin) != size) exit(EXIT_FAILURE);
    return bytes;
}

static void write_bytes(const void *bytes, size_t size) {
    if (fwrite(bytes, 1, size, stdout) != size) exit(EXIT_FAILURE);
}

static void require(v05_status status, const v05_error *error) {
    if (status == V05_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", v05_status_name(status), error->message);
    exit(EXIT_FAILURE);
}

enum { COLUMNS = 8 };

static void estimate(void) {
    int64_t head[4];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        const size_t rows = (size_t)head[0];
        v05_estimation_options *options = read_bytes(sizeof *options);
        v05_calibration *calibration = read_bytes(sizeof *calibration);
        double *rewards = read_bytes(rows * sizeof *rewards);
        int64_t *groups = read_bytes(rows * sizeof *groups);
        double *prior = head[1] ? read_bytes(rows * sizeof *prior) : NULL;
        uint8_t *mask = head[2] ? read_bytes(rows) : NULL;
        const v05_batch batch = {
            .struct_size = sizeof batch, .row_count = head[0], .rewards_f64 = rewards, .group_ids = groups, .prior = prior,
            .mask = mask,
        };
        double *advantages = malloc((rows + 1) * sizeof *advantages);
        double *found = malloc((rows + 1) * sizeof *found * COLUMNS);
        if (advantages == NULL || found == NULL) exit(EXIT_FAILURE);
        v05_estimate result = {
            .struct_size = sizeof result, .advantages_f64 = advantages, .group_capacity = head[0],
            .mean = found, .prior = found + rows, .weight = found + 2 * rows, .baseline = found + 3 * rows,
            .bias_squared = found + 4 * rows, .mse = found + 5 * rows, .z = found + 6 * rows, .p_value = found + 7 * rows,
        };
        v05_error error = {.struct_size = sizeof error};
        require(
            v05_baseline_estimate(&batch, options, head[3] ? calibration : NULL, NULL, NULL, 0, &result, &error), &error);
        write_bytes(&result.group_count, sizeof result.group_count);
        write_bytes(advantages, rows * sizeof *advantages);
        for (size_t column = 0; column < COLUMNS; column++)
            write_bytes(found + column * rows, (size_t)result.group_count * sizeof *found);
        free(options), free(calibration), free(rewards), free(groups), free(prior), free(mask), free(advantages), free(found);
    }
}

enum { LARGEST_CHECKPOINT = 1 << 20 };

static void save_again(const char *kind) {
    uint8_t *saved = malloc(LARGEST_CHECKPOINT), *again = malloc(LARGEST_CHECKPOINT);
    if (saved == NULL || again == NULL) exit(EXIT_FAILURE);
    const size_t length = fread(saved, 1, LARGEST_CHECKPOINT, stdin);
    v05_error error = {.struct_size = sizeof error};
    size_t size = 0;
    if (kind[0] == 'h') {
        v05_history *history;
        require(v05_history_load(&history, saved, length, &error), &error);
        require(v05_history_save(history, again, LARGEST_CHECKPOINT, &size, &error), &error);
        v05_history_destroy(history);
    } else if (kind[0] == 't') {
        v05_tracker *tracker;
        require(v05_tracker_load(&tracker, saved, length, &error), &error);
        require(v05_tracker_save(tracker, again, LARGEST_CHECKPOINT, &size, &error), &error);
        v05_tracker_destroy(tracker);
    } else if (kind[0] == 'a') {
        v05_allocator *allocator;
        require(v05_allocator_load(&allocator, saved, length, &error), &error);
        require(v05_allocator_save(allocator, again, LARGEST_CHECKPOINT, &size, &error), &error);
        v05_allocator_destroy(allocator);
    } else if (kind[8] == 'c') {
        v05_running_calibration running = {.struct_size = sizeof running};
        require(v05_running_calibration_load(&running, saved, length, &error), &error);
        require(v05_running_calibration_save(&running, again, LARGEST_CHECKPOINT, &size, &error), &error);
    } else {
        v05_running_mixture running = {.struct_size = sizeof running};
        require(v05_running_mixture_load(&running, saved, length, &error), &error);
        require(v05_running_mixture_save(&running, again, LARGEST_CHECKPOINT, &size, &error), &error);
    }
    write_bytes(again, size);
    free(saved), free(again);
}

int main(int count, char **arguments) {
    if (count != 2) return EXIT_FAILURE;
    if (arguments[1][0] == 'e') estimate();
    else save_again(arguments[1]);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
