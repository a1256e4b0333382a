import SeededRandom
import Testing
@testable import Estimation

struct AdvantageScalingTests {
    private func options(_ scale: AdvantageScale, ddof: Int, leaveOneOut: Bool = false, epsilon: Double = 1e-6)
        -> EstimationOptions
    {
        var options = EstimationOptions()
        options.rule = .grpo
        options.scale = scale
        options.ddof = ddof
        options.epsilon = epsilon
        options.leaveOneOut = leaveOneOut
        return options
    }

    private func deviation(_ rewards: [Double], ddof: Int) -> Double {
        let mean = rewards.reduce(0, +) / Double(rewards.count)
        return (rewards.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(rewards.count - ddof)).squareRoot()
    }

    @Test(arguments: [0, 1], [1e-6, 0, 0.1])
    func dividesByTheDeviation(_ ddof: Int, _ epsilon: Double) throws {
        var random = SeededRandom(1)
        let groups = (0..<5).map { size in (0..<size + 2).map { _ in Double.random(in: 0...1, using: &random) } }
        let rollouts = Rollouts(
            rewards: groups.flatMap { $0 },
            ids: groups.indices.flatMap { group in groups[group].map { _ in Int64(group) } })
        let plain = try rollouts.estimate(options(.none, ddof: ddof)).advantages
        let byGroup = try rollouts.estimate(options(.group, ddof: ddof, epsilon: epsilon)).advantages
        let byBatch = try rollouts.estimate(options(.batch, ddof: ddof, epsilon: epsilon)).advantages
        let ofOthers = try rollouts.estimate(options(.group, ddof: ddof, leaveOneOut: true, epsilon: epsilon))
            .advantages
        let leftOut = try rollouts.estimate(options(.none, ddof: ddof, leaveOneOut: true)).advantages
        for row in plain.indices {
            let group = groups[Int(rollouts.ids[row])]
            #expect(abs(byGroup[row] - plain[row] / (deviation(group, ddof: ddof) + epsilon)) <= 1e-13)
            #expect(abs(byBatch[row] - plain[row] / (deviation(rollouts.rewards, ddof: ddof) + epsilon)) <= 1e-13)
            var others = group
            others.remove(at: group.firstIndex(of: rollouts.rewards[row])!)
            let divisor = others.count < 2 ? 1 : deviation(others, ddof: ddof) + epsilon
            #expect(abs(ofOthers[row] - leftOut[row] / divisor) <= 1e-12 * abs(ofOthers[row]) + 1e-13)
        }
    }

    /// One reward apart, the others equal: without it there is no spread, however the sums round.
    @Test func othersWithoutSpread() throws {
        for (equal, apart, count) in [(0.1, 0.7, 3), (0.3, 1.0, 7), (1.0 / 3, 0.0, 16), (0.1, 0.1 + 1e-15, 5)] {
            let rewards = [Double](repeating: equal, count: count) + [apart]
            let rollouts = Rollouts(rewards: rewards, ids: rewards.map { _ in 1 })
            let scaled = try rollouts.estimate(options(.group, ddof: 1, leaveOneOut: true)).advantages
            let plain = try rollouts.estimate(options(.none, ddof: 1, leaveOneOut: true)).advantages
            #expect(scaled.last == plain.last)
            #expect(scaled[0] != plain[0])
        }
    }

    @Test func rewardsWithoutSpreadDivideByNothing() throws {
        for scale in [AdvantageScale.group, .batch] {
            for rewards in [[0.7], [0.7, 0.7], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]] {
                let rollouts = Rollouts(rewards: rewards, ids: rewards.map { _ in 1 }, priors: rewards.map { _ in 0.6 })
                var options = options(scale, ddof: 0)
                options.rule = .prior
                #expect(try rollouts.estimate(options).advantages.allSatisfy { $0 == rewards[0] - 0.6 })
            }
        }
    }

    @Test func groupsOfOne() throws {
        let rollouts = Rollouts(rewards: [0.7, 0.2, 0.4], ids: [1, 2, 2])
        for rule in [BaselineRule.grpo, .rloo, .median, .v05, .prior, .discountedBeta] {
            for (scale, raw) in [
                (AdvantageScale.none, 0.7), (.group, 0.7 / (1 + 1e-6)),
                (.batch, 0.7 / (deviation([0.7, 0.2, 0.4], ddof: 1) + 1e-6)),
            ] {
                var options = options(scale, ddof: 1)
                options.rule = rule
                #expect(try rollouts.estimate(options).advantages[0] == 0)
                options.singleton = .raw
                #expect(abs(try rollouts.estimate(options).advantages[0] - raw) <= 1e-15)
            }
        }
    }
}
