/// Mean of a prompt's rewards by their weights, and what it is worth: (sum W)^2 / sum W^2 rewards (method section 13).
public struct WeightedMean: Sendable {
    public let mean: Double
    public let effectiveCount: Double

    /// Of rewards with weights above 0; none have neither mean nor worth. The weights are scaled in place. Does not depend on
    /// their order.
    public init(_ rewards: UnsafePointer<Double>, _ weights: UnsafeMutablePointer<Double>, count: Int) {
        if count == 0 {
            mean = .nan
            effectiveCount = 0
            return
        }
        var range = RewardRange()
        var largest = 0.0
        var row = 0
        while row < count {
            range.smallest = min(range.smallest, rewards[row])
            range.largest = max(range.largest, rewards[row])
            largest = max(largest, weights[row])
            row &+= 1
        }
        let sums = GroupWeights(weights, count: count, largest: largest)
        let summary = GroupSummary(
            rewards: rewards, weights: weights, sums: sums, count: count, range: range, prior: Prior(value: .nan))
        mean = summary.mean
        effectiveCount = summary.effectiveCount
    }
}
