import SeededRandom
import Testing
@testable import Estimation

struct MedianTests {
    @Test func everySmallGroup() {
        for count in 1...6 {
            var digits = [Int](repeating: 0, count: count)
            repeat { check(digits.map { Double($0) }) } while advance(&digits, base: 4)
        }
    }

    @Test func randomGroups() {
        var random = SeededRandom(1)
        for count in [7, 8, 31, 32, 33, 100] {
            for _ in 0..<20 { check((0..<count).map { _ in Double.random(in: -1...1, using: &random) }) }
        }
    }

    @Test func sortsAscending() {
        var random = SeededRandom(2)
        for count in 0...65 {
            for values in [1.0, 3, 1e9] {
                let unsorted = (0..<count).map { _ in Double.random(in: 0...values, using: &random).rounded() }
                for order in [unsorted, unsorted.sorted(), unsorted.sorted(by: >)] {
                    var sorted = order
                    sorted.withUnsafeMutableBufferPointer { buffer in
                        if let start = buffer.baseAddress { sortAscending(start, count: count) }
                    }
                    #expect(sorted == order.sorted())
                }
            }
        }
    }

    private func check(_ rewards: [Double]) {
        var sorted = rewards
        sorted.withUnsafeMutableBufferPointer { sortAscending($0.baseAddress!, count: $0.count) }
        let middle = MiddleRewards(sorted: sorted, count: sorted.count)
        #expect(middle.median == median(rewards))
        guard rewards.count > 1 else { return }
        for row in rewards.indices {
            var others = rewards
            others.remove(at: row)
            #expect(middle.medianOfOthers(without: rewards[row]) == median(others))
        }
    }

    private func median(_ rewards: [Double]) -> Double {
        let sorted = rewards.sorted()
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}
