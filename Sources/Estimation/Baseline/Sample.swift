/// What a baseline is made from: a whole group, or the others of one row.
struct Sample {
    var count: Int
    /// The count, or what it comes down to with weights.
    var effectiveCount: Double
    /// Mean of the rewards, or their median for the median rule. NaN without rewards.
    var center: Double
    var successes: Int
    var prior: Prior

    @inline(__always)
    init(count: Int, effectiveCount: Double? = nil, center: Double, successes: Int, prior: Prior) {
        self.count = count
        self.effectiveCount = effectiveCount ?? Double(count)
        self.center = center
        self.successes = successes
        self.prior = prior
    }

    @inline(__always)
    init(_ group: GroupSummary) {
        self.init(
            count: group.count, effectiveCount: group.effectiveCount, center: group.mean, successes: group.successes,
            prior: group.prior)
    }
}
