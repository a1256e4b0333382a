import SeededRandom
import Testing
@testable import Estimation

/// Everything follows r -> scale r + shift: means and baselines alike, errors by scale^2, weights and tests not at all.
struct EquivarianceTests {
    private struct Change {
        let scale: Double
        let shift: Double

        func callAsFunction(_ value: Double) -> Double { scale * value + shift }
        func callAsFunction(_ interval: Interval) -> Interval {
            Interval(low: self(interval.low), high: self(interval.high))
        }
        func callAsFunction(_ rollouts: Rollouts) -> Rollouts {
            var changed = rollouts
            changed.rewards = rollouts.rewards.map { self($0) }
            changed.priors = rollouts.priors.map { $0.map { self($0) } }
            return changed
        }
        func callAsFunction(_ calibration: Calibration) -> Calibration {
            Calibration(
                intercept: self(calibration.intercept) - calibration.slope * shift, slope: calibration.slope,
                priorVariance: scale * scale * calibration.priorVariance,
                rewardVariance: scale * scale * calibration.rewardVariance,
                grandMean: self(calibration.grandMean), betweenVariance: scale * scale * calibration.betweenVariance,
                groups: calibration.groups, totalGroups: calibration.totalGroups)
        }
        /// Advantages that were divided by a standard deviation stay as they are.
        func callAsFunction(_ results: EstimatedRollouts, isDivided: [Bool]) -> EstimatedRollouts {
            var changed = results
            changed.advantages = zip(results.advantages, isDivided).map { $1 ? $0 : scale * $0 }
            changed.mean = results.mean.map { self($0) }
            changed.prior = results.prior.map { self($0) }
            changed.baseline = results.baseline.map { self($0) }
            changed.mse = results.mse.map { scale * scale * $0 }
            changed.biasSquared = results.biasSquared.map { scale * scale * $0 }
            return changed
        }
    }

    private static let interval = Interval(low: -1, high: 1)

    private static func batches() -> [(rollouts: Rollouts, isTwoValued: Bool)] {
        var random = SeededRandom(1)
        return [3, 20].flatMap { groupCount in
            let smooth = Rollouts.random(groupCount: groupCount, largest: 6, in: interval, using: &random)
            var twoValued = smooth
            twoValued.rewards = smooth.rewards.map { $0 < 0 ? -1 : 1 }
            return [(smooth, false), (twoValued, true)]
        }
    }

    /// With epsilon = 0, which is not in reward units. The convention `raw` for groups of one is about the reward
    /// itself, so it is left out.
    private static func options(exact: Bool) -> [EstimationOptions] {
        let all = AllOptions.over(interval, epsilon: 0, isTwoValued: exact).filter { $0.singleton == .zero }
        guard exact else { return all }
        return all
            + all.filter { $0.rule == .v05 }.map { options in
                var options = options
                options.test = .exact
                return options
            }
    }

    /// Whether a row's advantage is divided: the rewards that the deviation is computed from differ.
    private static func isDivided(_ rollouts: Rollouts, _ options: EstimationOptions) -> [Bool] {
        let rows = rollouts.rewards.indices
        return rows.map { row in
            let basis = rows.filter { other in
                guard rollouts.mask?[other] != 0 else { return false }
                switch options.scale {
                case .none: return false
                case .batch: return true
                case .group:
                    return rollouts.ids[other] == rollouts.ids[row] && !(options.usesLeaveOneOut && other == row)
                }
            }
            return Set(basis.map { rollouts.rewards[$0] }).count > 1
        }
    }

    @Test(arguments: [-40, -1, 2, 60])
    func powersOfTwoBitForBit(_ exponent: Int) throws {
        let change = Change(scale: Double(sign: .plus, exponent: exponent, significand: 1), shift: 0)
        for (rollouts, isTwoValued) in EquivarianceTests.batches() {
            for options in EquivarianceTests.options(exact: isTwoValued) {
                var changedOptions = options
                changedOptions.interval = change(options.interval)
                let expected = change(
                    try rollouts.estimate(options), isDivided: EquivarianceTests.isDivided(rollouts, options))
                let found = try change(rollouts).estimate(changedOptions)
                let isEqual = found.bits == expected.bits
                #expect(isEqual, "\(options)")
            }
        }
    }

    @Test(arguments: [(0.37, 0.2), (3, -1), (1e6, 5e5), (1e-6, 3e-6)])
    func anyScaleAndShift(_ scale: Double, _ shift: Double) throws {
        let change = Change(scale: scale, shift: shift)
        let calibration = Calibration(
            intercept: 0.1, slope: 0.8, priorVariance: 0.02, rewardVariance: 0.15, grandMean: 0.4,
            betweenVariance: 0.05,
            groups: 20, totalGroups: 30)
        for (rollouts, isTwoValued) in EquivarianceTests.batches() {
            for options in EquivarianceTests.options(exact: isTwoValued) {
                for given in [nil, calibration] {
                    var changedOptions = options
                    changedOptions.interval = change(options.interval)
                    let expected = change(
                        try rollouts.estimate(options, calibration: given),
                        isDivided: EquivarianceTests.isDivided(rollouts, options))
                    let found = try change(rollouts).estimate(changedOptions, calibration: given.map { change($0) })
                    let unit = options.scale == .none ? scale : max(scale, expected.advantages.map(\.magnitude).max()!)
                    #expect(isClose(found.advantages, expected.advantages, unit))
                    #expect(isClose(found.mean, expected.mean, scale))
                    #expect(isClose(found.baseline, expected.baseline, scale))
                    #expect(isClose(found.weight, expected.weight, 1))
                    #expect(isClose(found.mse, expected.mse, scale * scale))
                    #expect(isClose(found.biasSquared, expected.biasSquared, scale * scale))
                    #expect(isClose(found.z, expected.z, 1))
                    #expect(isClose(found.pValue, expected.pValue, 1))
                    #expect(found.rejected == expected.rejected && found.constant == expected.constant)
                    #expect(found.applied.rule == expected.applied.rule)
                }
            }
        }
    }

    private func isClose(_ found: [Double], _ expected: [Double], _ unit: Double) -> Bool {
        found.count == expected.count
            && zip(found, expected).allSatisfy { found, expected in
                found.isNaN ? expected.isNaN : abs(found - expected) <= 1e-12 * unit
            }
    }
}
