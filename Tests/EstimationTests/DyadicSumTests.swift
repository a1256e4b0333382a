import SeededRandom
import Testing
@testable import Estimation

struct DyadicSumTests {
    private static let everything = -1e30...1e30

    private func dyadicSum(_ rewards: [Double], accepted: ClosedRange<Double> = everything) -> DyadicSum? {
        rewards.withUnsafeBufferPointer { DyadicSum($0.baseAddress!, count: $0.count, accepted: accepted) }
    }

    /// Where the quick sum gives a number, it is the exact sum and so the one that the other sum finds.
    @Test func agreesWithReproducibleSum() throws {
        var random = SeededRandom(1)
        for count in [1, 2, 3, 4, 5, 8, 15, 16, 100, 1000] {
            for size in [1.0, 2, 1024, 0x1p20] {
                let rewards = (0..<count).map { _ in (Double.random(in: -size...size, using: &random) * 0x1p20).rounded() * 0x1p-20 }
                let sum = try #require(dyadicSum(rewards)).value
                #expect(exactDifference(rewards, sum) == 0)
                #expect(sum == reproducibleSum(rewards, count: count))
            }
        }
    }

    /// The promise that order does not matter must hold for many large rewards too, whose sum has more bits than
    /// a Double: by an exact sum or by none.
    @Test func manyLargeRewards() {
        var random = SeededRandom(2)
        let rewards = (0..<20_000).map { _ in 0x1p20 - Double(Int.random(in: 0..<1024, using: &random)) * 0x1p-20 }
        for sum in [rewards, rewards.sorted(), rewards.shuffled(using: &random)].compactMap({ dyadicSum($0)?.value }) {
            #expect(sum == reproducibleSum(rewards, count: rewards.count))
        }
    }

    /// As many of the largest rewards as a Double can add up exactly, and one more.
    @Test func mostRewards() throws {
        for reward in [0x1p20, -0x1p20, 0x1p20 - 0x1p-20] {
            let rewards = [Double](repeating: reward, count: 8192)
            #expect(try #require(dyadicSum(rewards)).value == 8192 * reward)
            #expect(dyadicSum(rewards + [reward]) == nil)
        }
    }

    @Test func constantRewards() throws {
        for reward in [0, 1, -0.5, 0x1p20, -0x1p20, 0x1p-20] {
            for count in 1...9 {
                let sum = try #require(dyadicSum([Double](repeating: reward, count: count)))
                #expect(sum.isConstant)
                #expect(sum.value == reward * Double(count))
            }
        }
        for place in 0..<9 {
            var rewards = [Double](repeating: 0.5, count: 9)
            rewards[place] = 0.25
            #expect(dyadicSum(rewards)?.isConstant == false)
        }
    }

    @Test("Leaves other rewards to the other sum", arguments: [
        0.1, 0x1p-21, 1 + 0x1p-21, 0x1p20 + 1, -0x1p21, 1e30, 1e300, 1e-20, 1e-200, .leastNonzeroMagnitude, .nan, .infinity, -.infinity,
    ])
    func refused(_ reward: Double) {
        for count in 1...9 {
            let sums = (0..<count).map { place in
                var rewards = [Double](repeating: 1, count: count)
                rewards[place] = reward
                return dyadicSum(rewards)
            }
            #expect(sums.allSatisfy { $0 == nil })
        }
    }

    @Test func outsideTheAcceptedRange() {
        #expect(dyadicSum([0, 1, 0.5, 0.25, 1], accepted: 0...1) != nil)
        #expect(dyadicSum([0, 1, 0.5, 0.25, 1.5], accepted: 0...1) == nil)
        #expect(dyadicSum([-0.5, 1, 0.5, 0.25, 1], accepted: 0...1) == nil)
    }

    @Test func singlePrecision() throws {
        let rewards: [Float] = [0, 1, 0.5, -0.25, 3, 0x1p-20, 7]
        let sum = try #require(
            rewards.withUnsafeBufferPointer {
                DyadicSum($0.baseAddress!, count: $0.count, accepted: DyadicSumTests.everything)
            })
        #expect(sum.value == 11.25 + 0x1p-20)
        let tenth: [Float] = [0.1]
        #expect(tenth.withUnsafeBufferPointer { DyadicSum($0.baseAddress!, count: 1, accepted: 0...1) } == nil)
    }
}
