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
#include "families.h"

static v05_history *histories[2];
static v05_tracker *trackers[2];
static v05_allocator *allocators[2];
static Model models[2];

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
    if (code == 255) {
        twice(r, call_overlap);
        return;
    }
    if (code >= 252) { /* a running mixture's bytes */
        if (running_mixture.struct_size == 0)
            CHECK(v05_running_mixture_initialize(&running_mixture, sizeof running_mixture, 0, 1, 0.9, NULL) == V05_STATUS_OK, "initialize");
        if (code == 252) call_save(r, RUNNING_MIXTURE, &running_mixture);
        else if (call_load(r, RUNNING_MIXTURE, &running_mixture, &loaded)) memcpy(&running_mixture, loaded, sizeof running_mixture);
        clear();
        return;
    }
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
        case 16:
            if (call_load(r, RUNNING, &running, &loaded)) memcpy(&running, loaded, sizeof running);
            clear();
            break;
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
