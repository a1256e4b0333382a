// Advantages of one training step as a C++ function, with options.
//
//     export PKG_CONFIG_PATH="$(dirname "$(python -c 'import v05; print(v05.library_path())')")/pkgconfig"
//     c++ -std=c++17 example.cpp $(pkg-config --cflags --libs v05) -o example && ./example
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <stdexcept>
#include <vector>

#include <v05.h>

// The advantage of every rollout, from its reward, the id of its prompt and what was known about the prompt before.
// Throws what the library says about a wrong argument. May be called from any number of threads at once.
std::vector<float> advantages(const std::vector<float> &rewards, const std::vector<std::int64_t> &prompts,
                              const std::vector<double> &priors) {
    // The library is told one length and believes it.
    if (prompts.size() != rewards.size() || priors.size() != rewards.size())
        throw std::invalid_argument("rewards, prompts and priors must have the same length");

    // Every struct starts with its size; what is not set is zero and means "not given".
    v05_batch batch = {};
    batch.struct_size = sizeof batch;
    batch.row_count = static_cast<std::int64_t>(rewards.size());
    batch.rewards_f32 = rewards.data();
    batch.group_ids = prompts.data();
    batch.prior = priors.data();

    v05_error error = {};
    error.struct_size = sizeof error;

    // Options start from their defaults. Here no rollout takes part in its own baseline, and advantages are divided
    // by the spread of the batch.
    v05_estimation_options options;
    v05_estimation_options_initialize(&options, sizeof options, &error);
    options.leave_one_out = 1;
    options.scale = V05_SCALE_BATCH;

    // Results go into memory of ours; everything that is left NULL is skipped.
    std::vector<float> result(rewards.size());
    v05_estimate estimate = {};
    estimate.struct_size = sizeof estimate;
    estimate.advantages_f32 = result.data();

    if (v05_baseline_estimate(&batch, &options, nullptr, nullptr, nullptr, 0, &estimate, &error) != V05_STATUS_OK)
        throw std::invalid_argument(error.message);
    return result;
}

int main() try {
    // Two prompts; nothing is known about the second.
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    const std::vector<float> rewards = {1, 0, 0.25, 1, 0, 0.5, 1, 0};
    const std::vector<std::int64_t> prompts = {7, 7, 7, 7, -3, -3, -3, -3};
    const std::vector<double> priors = {0.5, 0.5, 0.5, 0.5, unknown, unknown, unknown, unknown};

    const std::vector<float> result = advantages(rewards, prompts, priors);

    std::puts("  prompt   reward    prior advantage");
    for (std::size_t row = 0; row < result.size(); ++row)
        std::printf("%8lld %8.6f %8.6f %9.6f\n", static_cast<long long>(prompts[row]), rewards[row], priors[row],
                    result[row]);

    // What a mistake looks like: rewards that are not in [0, 1].
    try {
        advantages({1, 5}, {7, 7}, {0.5, 0.5});
    } catch (const std::invalid_argument &mistake) {
        std::printf("\n%s\n", mistake.what());
    }
    return EXIT_SUCCESS;
} catch (const std::exception &failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return EXIT_FAILURE;
}
