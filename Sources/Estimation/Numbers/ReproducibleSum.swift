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

/// The reproducible sum of an array.
@_optimize(speed)
@inline(never)
public func reproducibleSum(_ terms: UnsafePointer<Double>, count: Int) -> Double {
    // Four at a time: the pieces' sums are exact, so that it does not matter which go together.
    let fours = count & ~3
    let magnitude = SIMD4<UInt64>(repeating: .max &>> 1)
    var most = SIMD4<Double>(repeating: 0)
    var index = 0
    while index < fours {
        let four = UnsafeRawPointer(terms + index).loadUnaligned(as: SIMD4<UInt64>.self) & magnitude
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
    let firstCut = SIMD4(repeating: sum.firstCut)
    let secondCut = SIMD4(repeating: sum.secondCut)
    var high = SIMD4<Double>(repeating: 0)
    var low = SIMD4<Double>(repeating: 0)
    index = 0
    while index < fours {
        let four = UnsafeRawPointer(terms + index).loadUnaligned(as: SIMD4<Double>.self)
        let coarse = (four + firstCut) - firstCut
        high += coarse
        low += ((four - coarse) + secondCut) - secondCut
        index &+= 4
    }
    while index < count {
        sum.add(terms[index])
        index &+= 1
    }
    sum.add(high: (high[0] + high[1]) + (high[2] + high[3]), low: (low[0] + low[1]) + (low[2] + low[3]))
    return sum.value
}
