/// A sum that does not depend on the order of its terms, bit for bit, and loses no digits with their number.
///
/// Every term is cut at two fixed places, chosen from the largest term and the number of terms, so that
/// the pieces of one level are multiples of one unit and their sum is exact in any order. What lies below
/// the second cut is dropped: at most 2^(2 b - 106) of the largest term a term, for at most 2^b terms
/// (2^-90 for 256 terms, 2^-44 for 2^31).
///
/// Source: pre-rounded summation, Demmel and Nguyen, "Fast reproducible floating-point summation" (2013).
/// Terms must be finite. The sum is `high + low`; `high` alone is the sum to the first cut.
@frozen
public struct ReproducibleSum {
    public private(set) var high = 0.0
    public private(set) var low = 0.0
    let firstCut: Double
    let secondCut: Double

    public var value: Double { high + low }

    /// - Parameters:
    ///   - count: the number of terms that will be added, or more.
    ///   - largest: the largest absolute value among the terms, or more.
    @inline(__always)
    public init(count: Int, largest: Double) {
        // The bits above a first cut: enough for the largest term and for every carry of the sum.
        let carryBits = Int(truncatingIfNeeded: 64 &- max(count, 1).leadingZeroBitCount)
        let exponent = Int(truncatingIfNeeded: largest.bitPattern >> 52) &- 1022
        firstCut = ReproducibleSum.cut(exponent &+ carryBits)
        secondCut = ReproducibleSum.cut(exponent &+ 2 &* carryBits &- 53)
    }

    /// 1.5 * 2^exponent: adding it and taking it away again rounds a term to a multiple of 2^(exponent - 52).
    @inline(__always)
    private static func cut(_ exponent: Int) -> Double {
        let representable = max(-960, min(exponent, 1000))
        return Double(bitPattern: UInt64(truncatingIfNeeded: representable &+ 1023) &<< 52 | 1 &<< 51)
    }

    @inline(__always)
    public mutating func add(_ term: Double) {
        let coarse = (term + firstCut) - firstCut
        let rest = term - coarse
        high += coarse
        low += (rest + secondCut) - secondCut
    }

    /// Pieces with the same cuts.
    @inline(__always)
    fileprivate mutating func add(high: Double, low: Double) {
        self.high += high
        self.low += low
    }

    /// The same as adding the term so often: the pieces' sums are exact.
    @inline(__always)
    mutating func add(_ term: Double, times: Double) {
        let coarse = (term + firstCut) - firstCut
        let rest = term - coarse
        high += coarse * times
        low += ((rest + secondCut) - secondCut) * times
    }
}

/// Four terms of a reproducible sum at a time: the pieces' sums are exact, so that it does not matter which go together.
struct FourSums {
    private let firstCut: SIMD4<Double>
    private let secondCut: SIMD4<Double>
    private var high = SIMD4<Double>(repeating: 0)
    private var low = SIMD4<Double>(repeating: 0)

    /// - Parameter sum: takes what was added in the end.
    @inline(__always)
    init(_ sum: ReproducibleSum) {
        firstCut = SIMD4(repeating: sum.firstCut)
        secondCut = SIMD4(repeating: sum.secondCut)
    }

    @inline(__always)
    mutating func add(_ terms: SIMD4<Double>) {
        let coarse = (terms + firstCut) - firstCut
        high += coarse
        low += ((terms - coarse) + secondCut) - secondCut
    }

    @inline(__always)
    func add(to sum: inout ReproducibleSum) {
        sum.add(high: (high[0] + high[1]) + (high[2] + high[3]), low: (low[0] + low[1]) + (low[2] + low[3]))
    }
}

extension UnsafePointer<Double> {
    /// The four numbers from a place on.
    @inline(__always)
    func four(at index: Int) -> SIMD4<Double> { UnsafeRawPointer(self + index).loadUnaligned(as: SIMD4<Double>.self) }
}

extension UnsafeMutablePointer<Double> {
    @inline(__always)
    func four(at index: Int) -> SIMD4<Double> { UnsafePointer(self).four(at: index) }

    @inline(__always)
    func store(_ four: SIMD4<Double>, at index: Int) {
        UnsafeMutableRawPointer(self + index).storeBytes(of: four, as: SIMD4<Double>.self)
    }
}

/// The reproducible sum of an array.
@_optimize(speed)
@inline(never)
public func reproducibleSum(_ terms: UnsafePointer<Double>, count: Int) -> Double {
    let fours = count & ~3
    let magnitude = SIMD4<UInt64>(repeating: .max &>> 1)
    var most = SIMD4<Double>(repeating: 0)
    var index = 0
    while index < fours {
        let four = unsafeBitCast(terms.four(at: index), to: SIMD4<UInt64>.self) & magnitude
        let size = unsafeBitCast(four, to: SIMD4<Double>.self)
        most.replace(with: size, where: most .< size)
        index &+= 4
    }
    var largest = max(max(most[0], most[1]), max(most[2], most[3]))
    while index < count {
        largest = max(largest, terms[index].magnitude)
        index &+= 1
    }
    var sum = ReproducibleSum(count: count, largest: largest)
    var sums = FourSums(sum)
    index = 0
    while index < fours {
        sums.add(terms.four(at: index))
        index &+= 4
    }
    while index < count {
        sum.add(terms[index])
        index &+= 1
    }
    sums.add(to: &sum)
    return sum.value
}
