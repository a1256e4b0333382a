import SeededRandom
import Testing
@testable import Estimation

struct GridSumTests {
    private static let everything = -1e30...1e30
    private static let unitInterval = Interval(low: 0, high: 1)

    /// The sum of fewer than 256 rewards, nil where one is no multiple or is not accepted.
    private func sum<Sum: GridSum>(
        _ rewards: [Sum.Reward], _ fresh: Sum, accepted: ClosedRange<Double> = everything
    ) -> Double? {
        var sum = fresh
        rewards.withUnsafeBufferPointer { rewards in
            let start = rewards.baseAddress!
            for index in stride(from: 0, to: rewards.count & ~3, by: 4) { sum.add(four: start + index) }
            for index in (rewards.count & ~3)..<rewards.count { sum.add(start + index) }
        }
        let units = sum.take(count: rewards.count)
        return sum.hasTaken(only: accepted) ? Double(units) * sum.unit : nil
    }

    private func doubles(_ rewards: [Double], accepted: ClosedRange<Double> = everything) -> Double? {
        sum(rewards, DoubleGridSum(GridSumTests.unitInterval), accepted: accepted)
    }

    private func floats(
        _ rewards: [Double], in interval: Interval = unitInterval, accepted: ClosedRange<Double> = everything
    ) -> Double? {
        sum(rewards.map { Float($0) }, FloatGridSum(interval), accepted: accepted)
    }

    /// Where there is a sum it is the exact one, and so the one that the other sum finds.
    @Test func agreesWithReproducibleSum() throws {
        var random = SeededRandom(1)
        for count in [1, 2, 3, 4, 5, 8, 15, 16, 100, 255] {
            for size in [1.0, 2, 1024, 0x1p20] {
                let rewards = (0..<count).map { _ in
                    (Double.random(in: -size...size, using: &random) * 0x1p20).rounded() * 0x1p-20
                }
                let found = try #require(doubles(rewards))
                #expect(exactDifference(rewards, found) == 0)
                #expect(found == reproducibleSum(rewards, count: count))
            }
            for end in [1.0, 16, 17, 1e6] {
                let interval = Interval(low: -end, high: 1)
                let unit = FloatGridSum(interval).unit
                let rewards = (0..<count).map { _ in
                    (Double.random(in: -end...end, using: &random) / unit).rounded() * unit
                }
                let found = try #require(floats(rewards, in: interval))
                #expect(exactDifference(rewards, found) == 0)
            }
        }
    }

    /// The largest rewards, as many as are added before the units are taken.
    @Test func mostRewards() throws {
        for sign in [1.0, -1] {
            #expect(doubles([Double](repeating: sign * 0x1p20, count: 256)) == sign * 0x1p28)
            #expect(floats([Double](repeating: sign * 16, count: 256)) == sign * 4096)
        }
    }

    @Test("A unit, and less than it", arguments: [1.0, 16, 100, 0x1p20, 1e25])
    func unitOfFloats(_ end: Double) throws {
        let interval = Interval(low: 0, high: end)
        let unit = FloatGridSum(interval).unit
        for count in 1...9 {
            #expect(floats([Double](repeating: unit, count: count), in: interval) == unit * Double(count))
            #expect(
                floats([Double](repeating: end.rounded(.down), count: count), in: interval) == end.rounded(.down)
                    * Double(count) || end > 1e6)
            for place in 0..<count {
                var rewards = [Double](repeating: 0, count: count)
                rewards[place] = unit / 2
                #expect(floats(rewards, in: interval) == nil)
            }
        }
    }

    @Test(
        "Leaves other rewards to the other sum",
        arguments: [
            0.1, 0x1p-21, 1 + 0x1p-21, 0x1p20 + 1, -0x1p21, 1e30, 1e300, 1e-20, 1e-200, .leastNonzeroMagnitude, .nan,
            .infinity, -.infinity,
        ])
    func refused(_ reward: Double) {
        for count in 1...9 {
            for place in 0..<count {
                var rewards = [Double](repeating: 1, count: count)
                rewards[place] = reward
                #expect(doubles(rewards) == nil)
                if Float(reward) != 1 && Float(reward) != 0 { #expect(floats(rewards) == nil) }
            }
        }
    }

    @Test func beyondTheLimitOfFloats() {
        #expect(floats([16, -16]) == 0 && floats([16.5]) == nil && floats([-17]) == nil)
        #expect(floats([16.5], in: Interval(low: 0, high: 17)) == 16.5)
    }

    @Test func outsideTheAcceptedRange() {
        for sum in [{ doubles($0, accepted: $1) }, { floats($0, accepted: $1) }]
            as [([Double], ClosedRange<Double>) -> Double?]
        {
            #expect(sum([0, 1, 0.5, 0.25, 1], 0...1) == 2.75)
            #expect(sum([0, 1, 0.5, 0.25, 1.5], 0...1) == nil)
            #expect(sum([-0.5, 1, 0.5, 0.25, 1], 0...1) == nil)
        }
    }

    @Test func zerosWithSign() {
        for sum in [doubles([-0.0, -0.0, -0.0, -0.0, -0.0]), floats([-0.0, -0.0, -0.0, -0.0, -0.0])] {
            #expect(sum?.bitPattern == 0)
        }
    }
}
