import SeededRandom
import Testing
@testable import Estimation

struct GroupSummaryTests {
    /// How many rewards are each end of the interval says as much as the rewards themselves, bit for bit.
    @Test(arguments: [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.7), (-1e30, 1e30), (0.0, 1e-300), (-3.0, 1.0 / 3)])
    func endsSayEverything(low: Double, high: Double) {
        let prior = Prior(value: low)
        for count in 1...40 {
            for highs in Set([0, 1, count / 3, count - 1, count]) {
                var rewards = [Double](repeating: low, count: count - highs) + [Double](repeating: high, count: highs)
                let range = RewardRange(smallest: rewards[0], largest: rewards[count - 1])
                var expected = GroupSummary(rewards: rewards, count: count, range: range, prior: prior)
                if !expected.constant {
                    expected.sumOfSquares = squaredDeviations(&rewards, count: count, mean: expected.mean)
                }
                let found = GroupSummary(
                    lows: count - highs, highs: highs, ends: (low, high), prior: prior, needsSquares: true)
                #expect(found.count == count && found.successes == highs && found.areEnds)
                #expect(found.constant == expected.constant && found.effectiveCount == expected.effectiveCount)
                #expect(found.mean.bitPattern == expected.mean.bitPattern)
                #expect(found.sumOfSquares.bitPattern == expected.sumOfSquares.bitPattern)
                #expect(found.sumHigh == expected.sumHigh && found.sumLow == expected.sumLow)
            }
        }
    }

    /// Rewards that are ends of the interval, in groups beside others that are not, by offsets, ids, mask and mixed rows.
    @Test func groupsOfEndsBesideOthers() throws {
        var random = SeededRandom(8)
        let groups = 60, size = 7
        let rewards: [Double] = (0..<groups * size).map { row in
            row / size % 3 == 1
                ? Double.random(in: 0...1, using: &random) : Double(Int.random(in: 0...1, using: &random))
        }
        let ids = (0..<groups * size).map { Int64($0 / size) }
        let order = Array(0..<groups * size).shuffled(using: &random)
        let plain = try Self.sums(rewards, ids, mask: nil)
        let masked = try Self.sums(rewards, ids, mask: [UInt8](repeating: 1, count: rewards.count))
        let mixed = try Self.sums(order.map { rewards[$0] }, order.map { ids[$0] }, mask: nil)
        #expect(plain == masked && plain == mixed)
        for (group, found) in plain.enumerated() {
            let own = rewards[group * size..<(group + 1) * size]
            #expect((found[0] - own.reduce(0, +) / Double(size)).magnitude <= 1e-15)
        }
    }

    /// Mean and sum of squares of each group, in the order of their ids.
    private static func sums(_ rewards: [Double], _ ids: [Int64], mask: [UInt8]?) throws -> [[Double]] {
        var workspace = Workspace()
        defer { workspace.release() }
        return try rewards.withUnsafeBufferPointer { rewards in
            try ids.withUnsafeBufferPointer { ids in
                try (mask ?? []).withUnsafeBufferPointer { bytes in
                    let batch = Batch(
                        rowCount: rewards.count, rewards: .double(rewards.baseAddress!),
                        groups: .ids(ids.baseAddress!), priors: nil, strengths: nil,
                        mask: mask == nil ? nil : bytes.baseAddress)
                    let summary = try BatchSummary(
                        batch, options: EstimationOptions(), needsSquares: true, workspace: &workspace)
                    let found = (0..<summary.grouping.groupCount).map { group in
                        (summary.key(of: group), [summary.groups[group].mean, summary.groups[group].sumOfSquares])
                    }
                    return found.sorted { $0.0 < $1.0 }.map(\.1)
                }
            }
        }
    }
}
