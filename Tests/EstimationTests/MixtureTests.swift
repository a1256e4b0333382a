import SeededRandom
import Testing
@testable import Estimation

struct MixtureTests {
    private let interval = Interval(low: 0, high: 1)
    private let calibration = Calibration(
        intercept: 0.1, slope: 0.7, priorVariance: 0, rewardVariance: 0, grandMean: 0.4, betweenVariance: 0, groups: 10,
        totalGroups: 10)

    private func likelihoods(
        _ successes: Int, _ failures: Int, prior: Double, shared: SharedLikelihoods? = nil
    ) -> [Double] {
        let memory = UnsafeMutablePointer<SIMD2<Double>>.allocate(capacity: 15)
        memory.initialize(repeating: SIMD2(repeating: -1), count: 15)
        defer { memory.deallocate() }
        MixtureComponents(calibration, prior: prior, interval: interval)
            .likelihoods(successes: successes, failures: failures, into: memory, shared: shared)
        return (0..<15).flatMap { [memory[$0][0], memory[$0][1]] }
    }

    /// Of one success: the center of the component.
    @Test func oneSuccessIsAsLikelyAsTheCenter() {
        let found = likelihoods(1, 0, prior: 0.99)
        for (block, center) in [0.98, 0.1 + 0.7 * 0.99, 0.4].enumerated() {
            for strength in 0..<10 { #expect(abs(found[10 * block + strength] - center) <= 1e-15) }
        }
        #expect(Array(likelihoods(1, 0, prior: .nan)[..<20]) == Array(repeating: -1, count: 20))
    }

    /// The recursion L(s + 1, f) / L(s, f) = (a + s) / (q + s + f), also where the likelihoods are far below 2^-1022.
    @Test(arguments: [(0, 0), (3, 9), (400, 900), (20_000, 3), (30_000, 30_000)])
    func likelihoodsFollowFromEachOther(_ successes: Int, _ failures: Int) {
        let before = likelihoods(successes, failures, prior: 0.3)
        let after = likelihoods(successes + 1, failures, prior: 0.3)
        // Up to a common factor.
        let reference = before.indices.max { before[$0] < before[$1] }!
        func ratio(_ index: Int) -> Double {
            let strength = [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256][index % 10]
            let center = [0.3, 0.1 + 0.7 * 0.3, 0.4][index / 10]
            return (strength * center + Double(successes)) / (strength + Double(successes + failures))
        }
        for index in before.indices where before[index] > 1e-100 * before[reference] {
            let expected = before[index] / before[reference] * ratio(index) / ratio(reference)
            #expect(abs(after[index] / after[reference] - expected) <= 1e-9 * expected)
        }
        #expect(before.allSatisfy { $0 >= 0 && $0 <= 1 })
    }

    /// What is kept for other prompts changes no bit, also where numbers of rewards take each other's place.
    @Test func keptLikelihoodsAreThoseMadeAnew() {
        let memory = UnsafeMutablePointer<SIMD2<Double>>.allocate(capacity: SharedLikelihoods.count)
        defer { memory.deallocate() }
        let shared = SharedLikelihoods(in: memory)
        var random = SeededRandom(1)
        for round in 0..<2000 {
            let most = round % 2 == 0 ? 8 : 200
            let successes = Int.random(in: 0...most, using: &random)
            let failures = Int.random(in: 0...most, using: &random)
            let prior = round % 3 == 0 ? .nan : Double.random(in: 0...1, using: &random)
            #expect(
                likelihoods(successes, failures, prior: prior, shared: shared)
                    == likelihoods(successes, failures, prior: prior))
        }
    }

    @Test func weightsOfNothingAreEqual() {
        let mixture = Mixture(calibration: calibration, counts: MixtureNumbers())
        let weights = mixture.weights.withPairs { pairs in (0..<20).flatMap { [pairs[$0][0], pairs[$0][1]] } }
        for weight in weights[..<30] { #expect(abs(weight - 1 / 30) < 1e-16) }
        for weight in weights[30...] { #expect(abs(weight - 1 / 10) < 1e-16) }
    }

    /// The posterior mean of one reward more is a martingale, and its variance what the variance loses.
    @Test func theNextRewardIsExpected() {
        let mixture = Mixture(calibration: calibration, counts: MixtureNumbers())
        for prior in [0, 0.2, 0.9, .nan] {
            for count in 0..<9 {
                for successes in 0...count {
                    func at(_ successes: Int, _ count: Int) -> (value: Double, mse: Double) {
                        mixture.posterior(successes: successes, count: count, prior: prior, interval: interval)
                    }
                    let now = at(successes, count)
                    let won = at(successes + 1, count + 1)
                    let lost = at(successes, count + 1)
                    #expect(won.value > lost.value)
                    #expect(abs(now.value * won.value + (1 - now.value) * lost.value - now.value) <= 1e-14)
                    let drop = now.value * (1 - now.value) * (won.value - lost.value) * (won.value - lost.value)
                    let expected = now.value * won.mse + (1 - now.value) * lost.mse
                    #expect(abs(now.mse - expected - drop) <= 1e-14)
                }
            }
        }
    }

    @Test func weightsThatCannotBe() throws {
        var mixture = Mixture(calibration: calibration, counts: MixtureNumbers())
        try mixture.check()
        for wrong in [0, -0.1, 0.5, .nan, .infinity, 1e-101] {
            var spoiled = mixture
            spoiled.weights.withMutablePairs { $0[16][1] = wrong }
            #expect(throws: Failure.self) { try spoiled.check() }
        }
        mixture.calibration.grandMean = .nan
        #expect(throws: Failure.self) { try mixture.check() }
    }
}
