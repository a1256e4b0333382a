/// The others of one row of a group whose rewards are weighted: their mean, what it is worth, and their spread. It knows
/// neither the row's reward nor its weight (method section 13).
struct WeightedOthers {
    var count: Int
    var mean: Double
    var effectiveCount: Double
    /// As in GroupSummary, in which `sumOfSquares` over effectiveCount - ddof is a variance; 0 where nobody needs it.
    var sumOfSquares: Double

    /// Of a row with that reward and weight; one that counts as 0 is in no sum. `anew` sums the others up where they are too
    /// small a part of the group.
    @inline(__always)
    init(
        of group: GroupSummary, _ sums: GroupWeights, reward: Double, weight: Double, needsSquares: Bool,
        anew: () -> WeightedOthers
    ) {
        let scaled = weight * sums.scale
        if weight < smallestWeight || group.count <= 0 {
            self.init(
                count: group.count, mean: group.mean, effectiveCount: group.effectiveCount,
                sumOfSquares: group.sumOfSquares)
            return
        }
        if group.count == 1 {
            self.init(count: 0, mean: .nan, effectiveCount: 0, sumOfSquares: 0)
            return
        }
        guard let (sum, squares) = sums.withoutRow(scaled) else {
            self = anew()
            return
        }
        let count = group.count &- 1
        let mean = group.constant ? group.mean : ((group.sumHigh - scaled * reward) + group.sumLow) / sum
        let effectiveCount = GroupWeights.effectiveCount(sum: sum, squares: squares, count: count)
        var sumOfSquares = 0.0
        if needsSquares && !group.constant && effectiveCount > 1 {
            let deviation = reward - group.mean
            let own = deviation * deviation * scaled * sums.sum / sum
            let all = group.sumOfSquares * (sums.squares / sums.sum)
            if all - own < 1e-3 * all {
                self = anew()
                return
            }
            sumOfSquares = (all - own) * (sum / squares)
        }
        self.init(count: count, mean: mean, effectiveCount: effectiveCount, sumOfSquares: sumOfSquares)
    }

    @inline(__always)
    init(count: Int, mean: Double, effectiveCount: Double, sumOfSquares: Double) {
        self.count = count
        self.mean = mean
        self.effectiveCount = effectiveCount
        self.sumOfSquares = sumOfSquares
    }

    func sample(prior: Prior) -> Sample {
        Sample(count: count, effectiveCount: effectiveCount, center: mean, successes: 0, prior: prior)
    }
}
