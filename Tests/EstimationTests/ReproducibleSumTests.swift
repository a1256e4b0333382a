import SeededRandom
import Testing
@testable import Estimation

struct ReproducibleSumTests {
    @Test func orderDoesNotMatter() {
        var random = SeededRandom(1)
        for terms in Terms.all(&random) {
            let sum = reproducibleSum(terms)
            for _ in 0..<20 {
                #expect(reproducibleSum(terms.shuffled(using: &random)).bitPattern == sum.bitPattern)
            }
            #expect(reproducibleSum(terms.reversed()).bitPattern == sum.bitPattern)
            #expect(reproducibleSum(terms.sorted()).bitPattern == sum.bitPattern)
        }
    }

    /// Four at a time, or as often as it occurs: the pieces' sums are exact.
    @Test func togetherOrOneAfterTheOther() {
        var random = SeededRandom(3)
        for terms in Terms.all(&random) {
            for count in 0...min(terms.count, 21) {
                let few = Array(terms.prefix(count))
                var sum = ReproducibleSum(count: count, largest: few.map(\.magnitude).max() ?? 0)
                few.forEach { sum.add($0) }
                #expect(reproducibleSum(few).bitPattern == sum.value.bitPattern)
            }
        }
        for (term, times) in [(0.1, 3), (1e30, 7), (-1.0 / 3, 1000), (3e-300, 17), (0, 5), (0.7, 0)] as [(Double, Int)]
        {
            var one = ReproducibleSum(count: 1000, largest: term.magnitude)
            var once = one
            for _ in 0..<times { one.add(term) }
            once.add(term, times: Double(times))
            #expect(one.high == once.high && one.low == once.low)
        }
    }

    /// With fewer than 2^b terms each loses at most 2^(2 b - 105) of the largest; rounding the sum of both
    /// levels adds half a unit in the last place. Cuts end at 2^-960, hence the floor.
    @Test func errorIsBounded() {
        var random = SeededRandom(2)
        for terms in Terms.all(&random) {
            let sum = reproducibleSum(terms)
            let bits = Int.bitWidth - terms.count.leadingZeroBitCount
            let largest = terms.map(\.magnitude).max() ?? 0
            let lost =
                Double(terms.count)
                * max(largest * Double(sign: .plus, exponent: 2 * bits - 105, significand: 1), 0x1p-1012)
            #expect(exactDifference(terms, sum).magnitude <= lost + sum.ulp)
        }
    }

    /// Plain addition loses every small term here.
    @Test func smallTermsBesideLargeOnes() {
        let terms = [1e16] + [Double](repeating: 1, count: 1000) + [-1e16]
        #expect(reproducibleSum(terms) == 1000)
        #expect(reproducibleSum([0.1, 0.2, 0.3, -0.6]).magnitude < 1e-16)
    }

    @Test func sumsOfFewTerms() {
        #expect(reproducibleSum([]) == 0)
        #expect(reproducibleSum([0.3]) == 0.3)
        #expect(reproducibleSum([0, 0]) == 0)
        #expect(reproducibleSum([-0.0]).bitPattern == (0.0).bitPattern)
        #expect(reproducibleSum([1e60, 1]) == 1e60)
    }

    /// A number of terms or a largest term that is announced too large costs digits, never the order.
    @Test func announcedTooLarge() {
        var random = SeededRandom(3)
        let terms = (0..<100).map { _ in Double.random(in: -1...1, using: &random) }
        func sum(_ terms: [Double]) -> Double {
            var sum = ReproducibleSum(count: 5000, largest: 77)
            for term in terms { sum.add(term) }
            return sum.value
        }
        let value = sum(terms)
        #expect(exactDifference(terms, value).magnitude < 1e-14)
        for _ in 0..<20 { #expect(sum(terms.shuffled(using: &random)).bitPattern == value.bitPattern) }
    }

    private func reproducibleSum(_ terms: [Double]) -> Double {
        Estimation.reproducibleSum(terms, count: terms.count)
    }
}

/// Lists of terms that are hard to add.
private enum Terms {
    static func all(_ random: inout SeededRandom) -> [[Double]] {
        var lists: [[Double]] = []
        for count in [1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 255, 256, 1000, 4096] {
            lists.append((0..<count).map { _ in Double.random(in: 0...1, using: &random) })
            lists.append((0..<count).map { _ in Double.random(in: -1...1, using: &random) })
            lists.append((0..<count).map { _ in anyMagnitude(-60...60, &random) })
            lists.append((0..<count).map { _ in anyMagnitude(-300...30, &random) })
            lists.append((0..<count).map { _ in anyMagnitude(-1074...(-1000), &random) })
            lists.append((0..<count).map { _ in anyMagnitude(190...200, &random) })
            lists.append(cancelling(count, &random))
            lists.append(halfway(count, &random))
        }
        return lists
    }

    private static func anyMagnitude(_ exponents: ClosedRange<Int>, _ random: inout SeededRandom) -> Double {
        let exponent = Int.random(in: exponents, using: &random)
        return Double(
            sign: Bool.random(using: &random) ? .plus : .minus, exponent: exponent,
            significand: .random(in: 1..<2, using: &random))
    }

    /// Large terms that cancel and leave the small ones.
    private static func cancelling(_ count: Int, _ random: inout SeededRandom) -> [Double] {
        let large = (0..<count / 2).map { _ in anyMagnitude(20...50, &random) }
        let small = (0..<count - 2 * large.count + 1).map { _ in anyMagnitude(-20...0, &random) }
        return large + large.map { -$0 } + small
    }

    /// Terms that lie halfway between multiples of the first cut's unit.
    private static func halfway(_ count: Int, _ random: inout SeededRandom) -> [Double] {
        let bits = Int.bitWidth - count.leadingZeroBitCount
        let unit = Double(sign: .plus, exponent: 1 + bits - 53, significand: 1)
        return (0..<count).map { _ in 1 + unit * Double(Int.random(in: -9...9, using: &random)) }
    }
}
