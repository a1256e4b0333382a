/// What advantages are divided by (method section 4): a standard deviation plus epsilon. Rewards without
/// spread, all equal or fewer than two, divide by nothing: epsilon alone would blow up the signal that a
/// prior leaves in such a group.
struct AdvantageScaling {
    private let scale: AdvantageScale
    private let ddof: Int
    private let epsilon: Double
    private let batchDivisor: Double

    init(
        options: EstimationOptions, summaries: UnsafePointer<GroupSummary>, groupCount: Int, isWeighted: Bool,
        workspace: inout Workspace
    ) throws(Failure) {
        scale = options.scale
        ddof = options.ddof
        epsilon = options.epsilon
        batchDivisor =
            scale == .batch
            ? AdvantageScaling.batchDivisor(
                summaries, groupCount: groupCount, isWeighted: isWeighted,
                terms: try workspace.take(Double.self, count: groupCount),
                ddof: options.ddof, epsilon: options.epsilon)
            : 1
    }

    /// Standard deviation of all counted rewards of a batch, plus epsilon.
    private static func batchDivisor(
        _ summaries: UnsafePointer<GroupSummary>, groupCount: Int, isWeighted: Bool,
        terms: UnsafeMutablePointer<Double>,
        ddof: Int, epsilon: Double
    ) -> Double {
        var rewardCount = 0
        var total = 0.0
        var first = Double.nan
        var isConstant = true
        var group = 0
        while group < groupCount {
            let summary = summaries[group]
            if summary.count > 0 {
                if rewardCount == 0 { first = summary.mean }
                isConstant = isConstant && summary.constant && summary.mean == first
                rewardCount &+= summary.count
            }
            terms[group] = isWeighted ? summary.unit * summary.effectiveCount : 0
            group &+= 1
        }
        if isConstant { return 1 }
        var freedom = Double(rewardCount &- ddof)
        total = Double(rewardCount)
        if isWeighted {
            total = reproducibleSum(terms, count: groupCount)
            group = 0
            while group < groupCount {
                terms[group] *= summaries[group].unit
                group &+= 1
            }
            freedom = total - Double(ddof) * reproducibleSum(terms, count: groupCount) / total
            // As in a group: where one row has all but a millionth of the weight too few digits are left.
            if freedom < GroupWeights.leastFreedom * total { return 1 }
        }
        group = 0
        while group < groupCount {
            let summary = summaries[group]
            let sum = summary.sumHigh + summary.sumLow
            terms[group] = isWeighted && summary.count > 0 ? summary.unit * summary.effectiveCount * summary.mean : sum
            group &+= 1
        }
        let mean = reproducibleSum(terms, count: groupCount) / total
        group = 0
        while group < groupCount {
            let summary = summaries[group]
            let deviation = summary.count > 0 ? summary.mean - mean : 0
            terms[group] = summary.unit * (summary.sumOfSquares + summary.effectiveCount * deviation * deviation)
            group &+= 1
        }
        let sumOfSquares = reproducibleSum(terms, count: groupCount)
        return divisor(sumOfSquares: sumOfSquares, count: rewardCount, freedom: freedom, epsilon: epsilon)
    }

    @inline(never)
    private static func divisor(sumOfSquares: Double, count: Int, freedom: Double, epsilon: Double) -> Double {
        if count < 2 || sumOfSquares <= 0 || freedom <= 0 { return 1 }
        return (sumOfSquares / freedom).squareRoot() + epsilon
    }

    @inline(__always)
    func divisor(of summary: GroupSummary) -> Double {
        switch scale {
        case .none: return 1
        case .batch: return batchDivisor
        case .group:
            return AdvantageScaling.divisor(
                sumOfSquares: summary.sumOfSquares, count: summary.count,
                freedom: summary.effectiveCount - Double(ddof), epsilon: epsilon)
        }
    }

    /// Of the others of a row of a weighted group.
    func divisor(of others: WeightedOthers) -> Double {
        AdvantageScaling.divisor(
            sumOfSquares: others.sumOfSquares, count: others.count, freedom: others.effectiveCount - Double(ddof),
            epsilon: epsilon)
    }

    /// A group of one under the convention `raw` counts as having standard deviation 1.
    var divisorOfRawSingleton: Double {
        switch scale {
        case .none: return 1
        case .batch: return batchDivisor
        case .group: return 1 + epsilon
        }
    }

    /// Standard deviation of the others of a group (NeMo-RL's convention for leave-one-out).
    ///
    /// Taking one reward out of the sum of squares is exact enough unless that reward carries nearly all of it,
    /// which at most one reward of a group can do; then `exactSquares` sums anew.
    @inline(__always)
    func divisorOfOthers(_ summary: GroupSummary, reward: Double, exactSquares: () -> Double) -> Double {
        let count = summary.count &- 1
        if count < 2 || summary.constant { return 1 }
        let deviation = reward - summary.mean
        let own = deviation * deviation * Double(summary.count) / Double(count)
        var sumOfSquares = summary.sumOfSquares - own
        if sumOfSquares < 1e-3 * summary.sumOfSquares { sumOfSquares = exactSquares() }
        return AdvantageScaling.divisor(
            sumOfSquares: sumOfSquares, count: count, freedom: Double(count &- ddof), epsilon: epsilon)
    }
}
