import SeededRandom
import Testing
@testable import Estimation

/// The fast path gives the numbers of the general path, bit for bit, and refuses what that refuses.
struct PlainEstimationTests {
    private static let rules = [BaselineRule.v05, .grpo, .prior]
    private static let intervals = [Interval(low: 0, high: 1), Interval(low: -1, high: 1), Interval(low: -3, high: 10)]

    private static func options(_ rule: BaselineRule, _ interval: Interval, _ singleton: SingletonConvention = .zero)
        -> EstimationOptions
    {
        var options = EstimationOptions()
        options.rule = rule
        options.interval = interval
        options.singleton = singleton
        return options
    }

    /// Groups of 1 to `largest`, side by side, with rewards on a grid of `steps` to the interval; some are constant, every
    /// fourth has no prior.
    private static func groups(
        _ count: Int, largest: Int, steps: Int, in interval: Interval, using random: inout SeededRandom
    ) -> [(prior: Double, rewards: [Double])] {
        (0..<count).map { _ in
            let prior =
                Int.random(in: 0..<4, using: &random) == 0
                ? .nan : Double.random(in: interval.low...interval.high, using: &random)
            let steps = Int.random(in: 0..<4, using: &random) == 0 ? 1 : steps
            let size = Int.random(in: 1...largest, using: &random)
            let isConstant = Int.random(in: 0..<4, using: &random) == 0
            let constant = Int.random(in: 0...steps, using: &random)
            let rewards = (0..<size).map { _ in
                let step = isConstant ? constant : Int.random(in: 0...steps, using: &random)
                return interval.low + (interval.high - interval.low) * Double(step) / Double(steps)
            }
            return (prior, rewards)
        }
    }

    /// The same groups by ids and by offsets, in both precisions.
    private static func layouts(_ groups: [(prior: Double, rewards: [Double])]) -> [Rollouts] {
        let rewards = groups.flatMap(\.rewards)
        let ids = groups.indices.flatMap { group in groups[group].rewards.map { _ in Int64(3 * group - 7) } }
        let byIds = Rollouts(
            rewards: rewards, ids: ids, priors: groups.flatMap { group in group.rewards.map { _ in group.prior } })
        let offsets = groups.reduce(into: [0]) { $0.append($0.last! + Int64($1.rewards.count)) }
        let byOffsets = Rollouts(rewards: rewards, offsets: offsets, priors: groups.map(\.prior))
        var all = [byIds, byOffsets]
        all += all.map { rollouts in
            var rollouts = rollouts
            rollouts.isSingle = true
            return rollouts
        }
        all += all.map { rollouts in
            var rollouts = rollouts
            rollouts.priors = nil
            return rollouts
        }
        return all
    }

    /// Whether all three ways to ask for the advantages give the same bits.
    private func agrees(_ rollouts: Rollouts, _ options: EstimationOptions) throws -> Bool {
        let quick = try rollouts.advantages(options).map(\.bitPattern)
        let besideGroups = try rollouts.estimate(options).advantages.map(\.bitPattern)
        var masked = rollouts
        masked.mask = rollouts.rewards.map { _ in 1 }
        return try quick == besideGroups && masked.advantages(options).map(\.bitPattern) == quick
    }

    @Test(arguments: rules, [SingletonConvention.zero, .raw])
    func equalsTheGeneralWay(_ rule: BaselineRule, _ singleton: SingletonConvention) throws {
        var random = SeededRandom(1)
        for interval in PlainEstimationTests.intervals {
            let options = PlainEstimationTests.options(rule, interval, singleton)
            for count in [1, 2, 5, 30] {
                for largest in [1, 3, 9, 40] {
                    for steps in [1, 2, 16, 1024, 1 << 16] {
                        let groups = PlainEstimationTests.groups(
                            count, largest: largest, steps: steps, in: interval, using: &random)
                        for rollouts in PlainEstimationTests.layouts(groups) {
                            let isQuick = try rollouts.takesQuickWay(options)
                            let isEqual = try agrees(rollouts, options)
                            #expect(isQuick && isEqual, "\(rollouts)")
                        }
                    }
                }
            }
        }
    }

    /// A prior at the edge of the test, where one rounding otherwise would decide differently.
    @Test func onTheBoundary() throws {
        let interval = Interval(low: -1, high: 1)
        for count in 1...64 {
            for successes in 0...count {
                let mean = Double(2 * successes - count) / Double(count)
                let rewards = (0..<count).map { $0 < successes ? 1.0 : -1 }
                let edge = 1 / Double(count).squareRoot()
                for prior in [mean + edge, (mean + edge).nextUp, (mean + edge).nextDown, mean - edge]
                where abs(prior) <= 1 {
                    let rollouts = Rollouts(
                        rewards: rewards, ids: rewards.map { _ in 0 }, priors: rewards.map { _ in prior })
                    let isEqual = try agrees(rollouts, PlainEstimationTests.options(.v05, interval))
                    #expect(isEqual)
                }
            }
        }
    }

    /// Priors that rounding has carried out of the interval are clamped by both.
    @Test(arguments: rules)
    func priorsInTheSlack(_ rule: BaselineRule) throws {
        for prior in [-1e-7, 1 + 1e-7, -0.0, 0.0, 1] {
            for rollouts in PlainEstimationTests.layouts([(prior, [0, 0.5, 0.5]), (0.25, [1]), (prior, [1, 1])]) {
                let options = PlainEstimationTests.options(rule, Interval(low: 0, high: 1))
                #expect(try rollouts.takesQuickWay(options))
                #expect(try agrees(rollouts, options))
            }
        }
    }

    @Test(arguments: rules)
    func zerosWithSign(_ rule: BaselineRule) throws {
        for count in 1...9 {
            for negative in 0...count {
                let zeros = (0..<count).map { $0 < negative ? -0.0 : 0 }
                for rewards in [zeros, zeros.reversed(), zeros + [1]] {
                    for rollouts in PlainEstimationTests.layouts([(.nan, rewards), (-0.0, rewards), (0.5, rewards)]) {
                        let isEqual = try agrees(
                            rollouts, PlainEstimationTests.options(rule, Interval(low: 0, high: 1)))
                        #expect(isEqual)
                    }
                }
            }
        }
    }

    /// Rewards off the grid of 2^-20, or rows that are not side by side: the general path, and the same whatever is asked for.
    @Test(arguments: rules)
    func otherBatches(_ rule: BaselineRule) throws {
        var random = SeededRandom(2)
        let interval = Interval(low: 0, high: 1)
        let options = PlainEstimationTests.options(rule, interval)
        for _ in 0..<20 {
            var groups = PlainEstimationTests.groups(12, largest: 9, steps: 4, in: interval, using: &random)
            let mixed = PlainEstimationTests.layouts(groups)[0]
            let shuffled = mixed.rearranged(mixed.rewards.indices.shuffled(using: &random))
            #expect(try !shuffled.takesQuickWay(options))
            #expect(try agrees(shuffled, options))
            var singles = shuffled
            singles.isSingle = true
            #expect(try singles.takesQuickWay(options))
            #expect(try agrees(singles, options))
            groups[Int.random(in: 0..<12, using: &random)].rewards.append(0.1)
            for rollouts in PlainEstimationTests.layouts(groups) {
                #expect(try !rollouts.takesQuickWay(options))
                #expect(try agrees(rollouts, options))
            }
        }
        let withEmptyGroup = Rollouts(rewards: [1, 0, 1], offsets: [0, 2, 2, 3], priors: [0.5, 0.2, 0.9])
        #expect(try !withEmptyGroup.takesQuickWay(options))
        #expect(try agrees(withEmptyGroup, options))
    }

    @Test(
        "Only where the options need no more",
        arguments: [
            { $0.rule = .calibrated }, { $0.rule = .rloo }, { $0.rule = .jamesStein }, { $0.rule = .median },
            { $0.rule = .discountedBeta },
            { $0.leaveOneOut = true }, { $0.scale = .group }, { $0.scale = .batch }, { $0.test = .exact },
        ] as [@Sendable (inout EstimationOptions) -> Void])
    func leftToTheGeneralWay(_ change: @Sendable (inout EstimationOptions) -> Void) throws {
        var rollouts = Rollouts(rewards: [1, 0, 1], ids: [1, 1, 2], priors: [0.5, 0.5, 0.2])
        var options = EstimationOptions()
        #expect(try rollouts.takesQuickWay(options))
        change(&options)
        #expect(try !rollouts.takesQuickWay(options))
        rollouts.mask = [1, 1, 1]
        #expect(try !rollouts.takesQuickWay(EstimationOptions()))
    }

    /// Where the square of half the range is 0 a weight would be 0 / 0; a prior stands then.
    @Test(arguments: rules)
    func narrowRanges(_ rule: BaselineRule) throws {
        for (high, isQuick) in [(1e-140, true), (1e-161, false), (1e-300, false), (5e-324, false)] {
            let rollouts = Rollouts(
                rewards: [0, -0.0, 0, 0], ids: [1, 1, 2, 3], priors: [high, high, high / 3, .nan])
            let options = PlainEstimationTests.options(rule, Interval(low: 0, high: high))
            let takesQuickWay = try rollouts.takesQuickWay(options)
            let isEqual = try agrees(rollouts, options)
            #expect(takesQuickWay == isQuick && isEqual, "range to \(high)")
            if high < 1e-200 && rule != .grpo {
                #expect(try rollouts.advantages(options) == [-high, -high, -high / 3, 0])
            }
        }
    }

    @Test("Refuses what the general path refuses", arguments: rules)
    func refusals(_ rule: BaselineRule) throws {
        let options = PlainEstimationTests.options(rule, Interval(low: 0, high: 1))
        let batches: [(Rollouts, Failure.Kind)] = [
            (Rollouts(rewards: [1, .nan], ids: [1, 2]), .invalidReward),
            (Rollouts(rewards: [1, -.infinity], ids: [1, 2]), .invalidReward),
            (Rollouts(rewards: [1, 2e30], ids: [1, 2]), .invalidReward),
            (Rollouts(rewards: [1, 0], ids: [1, 1], priors: [0.5, 0.25]), .priorDisagrees),
            (Rollouts(rewards: [1, 0], ids: [1, 1], priors: [0.5, .nan]), .priorDisagrees),
            (Rollouts(rewards: [1, 0], ids: [1, 2], priors: [0.5, 1.25]), .invalidPrior),
            (Rollouts(rewards: [1, 0], ids: [1, 2], priors: [0.5, .infinity]), .invalidPrior),
            (Rollouts(rewards: [1, 0], offsets: [0, 1, 2], priors: [0.5, -1]), .invalidPrior),
            (Rollouts(rewards: [1, 0], offsets: [0, 3], priors: [0.5]), .invalidOffsets),
            (Rollouts(rewards: [1, 0], offsets: [0, 2, 1, 2]), .invalidOffsets),
        ]
        for (rollouts, kind) in batches {
            #expect(#expect(throws: Failure.self) { try rollouts.advantages(options) }?.kind == kind)
        }
        let outside = Rollouts(rewards: [1, 1.5], ids: [1, 1])
        if rule == .v05 {
            #expect(#expect(throws: Failure.self) { try outside.advantages(options) }?.kind == .rewardOutOfRange)
        } else {
            #expect(try agrees(outside, options))
        }
    }
}
