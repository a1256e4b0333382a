/// Likelihoods of the components around the mean of the batch, which all prompts have in common: those of the numbers of
/// rewards seen last. Of one calibration.
struct SharedLikelihoods {
    /// A group's own numbers and those of its others do not take each other's place while groups are of one size.
    private static var count: Int { 64 }

    private struct Entry {
        var successes = -1
        var failures = -1
        var values = InlineArray<5, SIMD2<Double>>(repeating: SIMD2(repeating: 0))
        var scales = InlineArray<5, SIMD2<Double>>(repeating: SIMD2(repeating: 0))
    }

    private let entries: UnsafeMutablePointer<Entry>

    static var workspaceSize: Int { Workspace.size(of: Entry.self, count: count) }

    init(workspace: inout Workspace) throws(Failure) {
        entries = try workspace.take(Entry.self, count: SharedLikelihoods.count)
        entries.initialize(repeating: Entry(), count: SharedLikelihoods.count)
    }

    /// Writes values and scales of the five pairs; `compute` is asked where they are not kept.
    @inline(__always)
    func write(
        _ successes: Int, _ failures: Int, to values: UnsafeMutablePointer<SIMD2<Double>>,
        _ scales: UnsafeMutablePointer<SIMD2<Double>>, compute: () -> Void
    ) {
        let entry = entries + ((31 &* successes &+ failures) & (SharedLikelihoods.count &- 1))
        if entry.pointee.successes == successes && entry.pointee.failures == failures {
            var pair = 0
            while pair < MixtureComponents.pairs {
                values[pair] = entry.pointee.values[unchecked: pair]
                scales[pair] = entry.pointee.scales[unchecked: pair]
                pair &+= 1
            }
            return
        }
        compute()
        entry.pointee.successes = successes
        entry.pointee.failures = failures
        var pair = 0
        while pair < MixtureComponents.pairs {
            entry.pointee.values[unchecked: pair] = values[pair]
            entry.pointee.scales[unchecked: pair] = scales[pair]
            pair &+= 1
        }
    }
}
