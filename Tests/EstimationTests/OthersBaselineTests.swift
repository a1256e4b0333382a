import SeededRandom
import Testing
@testable import Estimation

/// Leave-one-out: the baseline of a row is the rule applied to the other rows.
struct OthersBaselineTests {
    private static let interval = Interval(low: 0, high: 1)
    private static let calibration = Calibration(
        intercept: 0.1, slope: 0.8, priorVariance: 0.02, rewardVariance: 0.15, grandMean: 0.4, betweenVariance: 0.05,
        groups: 20,
        totalGroups: 30)

    @Test(arguments: (Int32(0)...8).compactMap(BaselineRule.init), [PriorTestKind.bound, .exact])
    func equalsTheRuleWithoutTheRow(_ rule: BaselineRule, _ test: PriorTestKind) throws {
        var random = SeededRandom(1)
        for count in 2...9 {
            for hasPrior in [true, false] {
                let rewards = (0..<count).map { _ in
                    test == .exact || rule == .mixture
                        ? Double(Int.random(in: 0...1, using: &random)) : Double.random(in: 0...1, using: &random)
                }
                let rollouts = Rollouts(
                    rewards: rewards, ids: rewards.map { _ in 3 }, priors: rewards.map { _ in hasPrior ? 0.45 : .nan },
                    strengths: rewards.map { _ in 2.5 })
                var options = EstimationOptions()
                options.rule = rule
                options.test = test
                options.level = 0.4
                var whole = options
                options.leaveOneOut = true
                whole.rule = rule == .rloo ? .grpo : rule
                let found = try rollouts.estimate(options, calibration: OthersBaselineTests.calibration)
                for row in rewards.indices {
                    let others = rollouts.rearranged(rewards.indices.filter { $0 != row })
                    let baseline = try others.estimate(whole, calibration: OthersBaselineTests.calibration).baseline[0]
                    #expect(abs(found.advantages[row] - (rewards[row] - baseline)) <= 1e-14)
                }
                // The group's own results are those of the whole group.
                let group = try rollouts.estimate(whole, calibration: OthersBaselineTests.calibration)
                #expect(found.baseline[0] == group.baseline[0] && found.weight[0] == group.weight[0])
            }
        }
    }

    /// What leave-one-out is for: changing a reward does not change its own baseline.
    @Test func doesNotSeeItsOwnReward() throws {
        var random = SeededRandom(2)
        for options in AllOptions.over(OthersBaselineTests.interval) where options.leaveOneOut && options.scale == .none
        {
            let rewards = (0..<6).map { _ in Double.random(in: 0...1, using: &random) }
            var rollouts = Rollouts(
                rewards: rewards, ids: [1, 1, 1, 1, 2, 2], priors: [0.3, 0.3, 0.3, 0.3, .nan, .nan])
            let before = try rollouts.estimate(options, calibration: OthersBaselineTests.calibration).advantages[2]
            rollouts.rewards[2] = 1 - rewards[2]
            let after = try rollouts.estimate(options, calibration: OthersBaselineTests.calibration).advantages[2]
            #expect(abs((rewards[2] - before) - (1 - rewards[2] - after)) <= 1e-15)
        }
    }

    /// RLOO is the mean's advantage times k / (k - 1).
    @Test func leaveOneOutMean() throws {
        var random = SeededRandom(3)
        for count in 2...16 {
            let rewards = (0..<count).map { _ in Double.random(in: 0...1, using: &random) }
            let rollouts = Rollouts(rewards: rewards, ids: rewards.map { _ in 0 })
            var options = EstimationOptions()
            options.rule = .rloo
            let rloo = try rollouts.estimate(options).advantages
            options.rule = .grpo
            for (one, other) in zip(rloo, try rollouts.estimate(options).advantages) {
                #expect(abs(one - other * Double(count) / Double(count - 1)) <= 1e-15)
            }
        }
    }
}
