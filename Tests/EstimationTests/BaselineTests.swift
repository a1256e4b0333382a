import SeededRandom
import Testing
@testable import Estimation

/// The paper's rule over every number of successes of up to 16 rollouts and a grid of priors.
struct BaselineTests {
    private struct Case {
        let count: Int
        let mean: Double
        let prior: Double
        let halfRange: Double
        var noise: Double { halfRange * halfRange / Double(count) }
        var squaredDeviation: Double { (mean - prior) * (mean - prior) }
        let check: PriorCheck
        let baseline: Baseline
    }

    private func estimator(_ rule: BaselineRule, _ interval: Interval, test: PriorTestKind = .bound)
        -> BaselineEstimator
    {
        var options = EstimationOptions()
        options.rule = rule
        options.interval = interval
        options.test = test
        return BaselineEstimator(options: options, rule: rule, calibration: .empty)
    }

    private func forAll(test: PriorTestKind = .bound, _ body: (Case) -> Void) {
        for interval in [Interval(low: 0, high: 1), Interval(low: -1, high: 1), Interval(low: -3, high: 10)] {
            let estimator = estimator(.v05, interval, test: test)
            for count in 1...16 {
                for successes in 0...count {
                    for step in 0...48 {
                        let range = interval.high - interval.low
                        let mean = interval.low + range * Double(successes) / Double(count)
                        let prior = interval.low + range * Double(step) / 48
                        let sample = Sample(
                            count: count, center: mean, successes: successes, prior: Prior(value: prior))
                        let check = estimator.check(sample)
                        body(
                            Case(
                                count: count, mean: mean, prior: prior, halfRange: interval.halfRange, check: check,
                                baseline: estimator.baseline(sample, check: check)))
                    }
                }
            }
        }
    }

    @Test func liesBetweenMeanAndPrior() {
        forAll(test: .bound) {
            #expect($0.baseline.value >= min($0.mean, $0.prior) && $0.baseline.value <= max($0.mean, $0.prior))
        }
        forAll(test: .exact) {
            #expect($0.baseline.value >= min($0.mean, $0.prior) && $0.baseline.value <= max($0.mean, $0.prior))
        }
    }

    @Test func biasBound() {
        forAll { #expect(abs($0.baseline.value - $0.mean) <= $0.noise.squareRoot() * (1 + 1e-14)) }
    }

    @Test func closedForms() {
        forAll { example in
            let weight = example.squaredDeviation > example.noise ? 1 - example.noise / example.squaredDeviation : 0
            #expect(abs(example.baseline.weight - weight) <= 1e-14)
            #expect(abs(example.baseline.mse - weight * example.noise) <= 1e-14 * example.noise)
            #expect(example.check.rejected == (example.squaredDeviation > example.noise))
            #expect(example.check.biasSquared == max(0, example.squaredDeviation - example.noise))
            #expect(
                abs(example.check.z - abs(example.mean - example.prior) / example.noise.squareRoot()) <= 1e-14
                    * example.check.z)
            #expect(example.check.pValue.isNaN)
        }
    }

    @Test func exactTest() {
        forAll(test: .exact) { example in
            #expect(example.check.rejected == (example.check.pValue < 0.05))
            if !example.check.rejected {
                #expect(example.baseline.weight == 0 && example.baseline.value == example.prior)
            }
        }
    }

    /// The largest distance to the mean, at the edge of the test, is reached from both sides.
    @Test func continuousAcrossTheTest() {
        let interval = Interval(low: -1, high: 1)
        let estimator = estimator(.v05, interval)
        for count in 1...16 {
            for side in [-1.0, 1] {
                let edge = 1 / Double(count).squareRoot()
                let values = [1 - 1e-9, 1 + 1e-9].map { factor in
                    let sample = Sample(
                        count: count, center: 0, successes: 0, prior: Prior(value: side * edge * factor))
                    return estimator.baseline(sample, check: estimator.check(sample)).value
                }
                #expect(abs(values[0] - values[1]) < 1e-8)
                #expect(abs(values[0] - side * edge) < 1e-8)
            }
        }
    }

    /// k = 4, V = 0, m = 1/2, h = 1: D equals the noise, which is no rejection.
    @Test func exactlyOnTheBoundary() {
        for mean in [-0.5, 0.5] {
            let estimator = estimator(.v05, Interval(low: -1, high: 1))
            let sample = Sample(count: 4, center: mean, successes: 0, prior: Prior(value: 0))
            let check = estimator.check(sample)
            let baseline = estimator.baseline(sample, check: check)
            #expect(!check.rejected && check.z == 1 && check.biasSquared == 0)
            #expect(baseline.weight == 0 && baseline.value == 0 && baseline.mse == 0)
        }
    }

    @Test func withoutRewards() {
        let interval = Interval(low: 0, high: 1)
        let sample = Sample(count: 0, center: .nan, successes: 0, prior: Prior(value: 0.3, strength: 2))
        for rule in [BaselineRule.v05, .prior] {
            let estimator = estimator(rule, interval)
            let check = estimator.check(sample)
            let baseline = estimator.baseline(sample, check: check)
            #expect(baseline.value == 0.3 && baseline.weight == 0 && baseline.mse.isNaN)
            #expect(check.z.isNaN && check.biasSquared.isNaN && !check.rejected)
        }
        for rule in [BaselineRule.grpo, .rloo, .median] {
            let estimator = estimator(rule, interval)
            let baseline = estimator.baseline(sample, check: estimator.check(sample))
            #expect(baseline.value.isNaN && baseline.weight.isNaN && baseline.mse.isNaN)
        }
        let counted = estimator(.discountedBeta, interval)
        let baseline = counted.baseline(sample, check: counted.check(sample))
        #expect(baseline.value == 0.3 && baseline.weight == 0 && abs(baseline.mse - 0.07) < 1e-16)
    }

    @Test func withoutPrior() {
        let interval = Interval(low: 0, high: 1)
        for rule in [BaselineRule.v05, .prior, .discountedBeta, .grpo] {
            let estimator = estimator(rule, interval)
            for count in 1...16 {
                let sample = Sample(count: count, center: 0.3, successes: 0, prior: Prior(value: .nan))
                let baseline = estimator.baseline(sample, check: estimator.check(sample))
                #expect(baseline.value == 0.3 && baseline.weight == 1 && baseline.mse == 0.25 / Double(count))
            }
            let nothing = Sample(count: 0, center: .nan, successes: 0, prior: Prior(value: .nan))
            #expect(estimator.baseline(nothing, check: estimator.check(nothing)).value.isNaN)
        }
    }

    /// A mean that rounding has put beyond the interval has no negative error.
    @Test func countedPriorsBeyondABound() {
        let interval = Interval(low: -0.1, high: 0.7)
        for (mean, prior) in [(0.7000001, 0.7), (-0.1000001, -0.1), (0.7, 0.7)] {
            let baseline = Baseline.counted(
                mean: mean, count: 4, prior: Prior(value: prior, strength: 2), interval: interval)
            #expect(baseline.mse >= 0 && baseline.mse < 1e-7)
        }
        let baseline = Baseline.counted(mean: 0.5, count: 4, prior: Prior(value: 0.2, strength: 2), interval: interval)
        #expect(abs(baseline.value - 0.4) <= 1e-16 && abs(baseline.mse - 0.5 * 0.3 / 7) <= 1e-16)
    }

    @Test func shrinkage() {
        var random = SeededRandom(1)
        for _ in 0..<1000 {
            let mean = Double.random(in: -1...1, using: &random)
            let center = Double.random(in: -1...1, using: &random)
            let variance = Double.random(in: 1e-6...1, using: &random)
            let spread = Double.random(in: 0...1, using: &random)
            let baseline = Baseline.shrunk(mean: mean, variance: variance, center: center, spread: spread)
            #expect(baseline.value >= min(mean, center) && baseline.value <= max(mean, center))
            #expect(abs(baseline.weight - spread / (spread + variance)) <= 1e-15)
            #expect(abs(baseline.mse - 1 / (1 / spread + 1 / variance)) <= 1e-15)
        }
        #expect(Baseline.shrunk(mean: 0.2, variance: 0, center: 0.9, spread: 0).value == 0.2)
        #expect(Baseline.shrunk(mean: 0.2, variance: 0.1, center: 0.9, spread: 0).value == 0.9)
        #expect(Baseline.shrunk(mean: 0.2, variance: 0, center: 0.9, spread: 0.5).weight == 1)
    }
}
