/// A number for each component of a mixture, two neighbouring strengths of one center at a time: five pairs for each of
/// c_1, c_2, c_3, and five for c_3 where there is no prior.
public struct MixtureNumbers: Sendable {
    private var pairs = InlineArray<20, SIMD2<Double>>(repeating: SIMD2(repeating: 0))

    /// All 0.
    public init() {}

    /// Bytes in a checkpoint.
    public static var savedSize: Int { 320 }

    @inline(__always)
    func withPairs<Result>(_ body: (UnsafePointer<SIMD2<Double>>) -> Result) -> Result {
        withUnsafePointer(to: self) { body(UnsafeRawPointer($0).assumingMemoryBound(to: SIMD2<Double>.self)) }
    }

    @inline(__always)
    mutating func withMutablePairs<Result>(_ body: (UnsafeMutablePointer<SIMD2<Double>>) -> Result) -> Result {
        withUnsafeMutablePointer(to: &self) {
            body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: SIMD2<Double>.self))
        }
    }

    /// They lie in 0 ... limit.
    func areCounts(upTo limit: Double) -> Bool {
        withPairs { MixtureNumbers.areCounts($0, 20, upTo: limit) }
    }

    @inline(never)
    private static func areCounts(_ pairs: UnsafePointer<SIMD2<Double>>, _ count: Int, upTo limit: Double) -> Bool {
        var pair = 0
        while pair < count {
            if !(pairs[pair][0] >= 0 && pairs[pair][1] >= 0 && pairs[pair][0] <= limit && pairs[pair][1] <= limit) {
                return false
            }
            pair &+= 1
        }
        return true
    }

    mutating func multiply(by factor: Double) { withMutablePairs { MixtureNumbers.multiply($0, 20, by: factor) } }

    @inline(never)
    private static func multiply(_ pairs: UnsafeMutablePointer<SIMD2<Double>>, _ count: Int, by factor: Double) {
        var pair = 0
        while pair < count {
            pairs[pair] *= factor
            pair &+= 1
        }
    }
}
