/// Likelihoods of the components around the mean of the batch, which all prompts have in common: those of the numbers of
/// rewards seen last. Of one calibration.
struct SharedLikelihoods {
    /// Pairs of strengths around the mean.
    static var pairs: Int { 5 }
    /// A group's own numbers and those of its others do not take each other's place while groups are of one size.
    private static var entries: Int { 64 }
    /// Of an entry: the numbers of rewards, then values, then scales.
    private static var stride: Int { 1 &+ 2 &* pairs }
    /// Of the memory.
    static var count: Int { entries &* stride }

    private let memory: UnsafeMutablePointer<SIMD2<Double>>

    init(in memory: UnsafeMutablePointer<SIMD2<Double>>) {
        self.memory = memory
        memory.initialize(repeating: SIMD2(repeating: -1), count: SharedLikelihoods.count)
    }

    /// Writes values and scales of the five pairs; `compute` is asked where they are not kept.
    @inline(__always)
    func write(
        _ successes: Int, _ failures: Int, to values: UnsafeMutablePointer<SIMD2<Double>>,
        _ scales: UnsafeMutablePointer<SIMD2<Double>>, compute: () -> Void
    ) {
        let place = (31 &* successes &+ failures) & (SharedLikelihoods.entries &- 1)
        let entry = memory + place &* SharedLikelihoods.stride
        let pairs = SharedLikelihoods.pairs
        let rewards = SIMD2(Double(successes), Double(failures))
        if entry.pointee == rewards {
            values.update(from: entry + 1, count: pairs)
            scales.update(from: entry + 1 + pairs, count: pairs)
            return
        }
        compute()
        entry.pointee = rewards
        (entry + 1).update(from: values, count: pairs)
        (entry + 1 + pairs).update(from: scales, count: pairs)
    }
}
