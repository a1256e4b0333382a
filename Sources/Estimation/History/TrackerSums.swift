/// What a tracker learns from a batch: sums over its groups that do not depend on their order, two at a time.
struct TrackerSums {
    /// Sums of c x x' over groups with features x = (1, first, second) and c = k V (1 - V).
    static var information: Int { 0 }
    /// Sums of x (S - k V), the last one beside the sum of squared errors of rewards.
    static var gradient: Int { 3 }
    /// Sums of log likelihoods under the strengths of prompts that are known, and of new ones.
    static var known: Int { 5 }
    static var new: Int { 9 }
    private static var pairs: Int { 12 }

    private let high: UnsafeMutablePointer<SIMD2<Double>>
    private let low: UnsafeMutablePointer<SIMD2<Double>>
    private let firstCut: SIMD2<Double>
    private let secondCut: SIMD2<Double>

    /// - Parameter largest: rollouts of a group, or more.
    init(groupCount: Int, largest: Double, workspace: inout Workspace) throws(Failure) {
        high = try workspace.take(SIMD2<Double>.self, count: TrackerSums.pairs)
        low = try workspace.take(SIMD2<Double>.self, count: TrackerSums.pairs)
        // A product of features is below 112, a log likelihood of k rewards above -14 k.
        let cuts = ReproducibleSum(count: groupCount, largest: 128 * largest)
        firstCut = SIMD2(repeating: cuts.firstCut)
        secondCut = SIMD2(repeating: cuts.secondCut)
        var pair = 0
        while pair < TrackerSums.pairs {
            high[pair] = SIMD2(repeating: 0)
            low[pair] = SIMD2(repeating: 0)
            pair &+= 1
        }
    }

    @inline(__always)
    func add(_ pair: Int, _ terms: SIMD2<Double>) {
        let coarse = (terms + firstCut) - firstCut
        high[pair] += coarse
        low[pair] += ((terms - coarse) + secondCut) - secondCut
    }

    @inline(__always)
    func value(_ pair: Int) -> SIMD2<Double> { high[pair] + low[pair] }
}
