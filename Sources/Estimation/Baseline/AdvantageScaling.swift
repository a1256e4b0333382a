/// What advantages are divided by (method section 4): a standard deviation plus epsilon. Rewards without
/// spread, all equal or fewer than two, divide by nothing: epsilon alone would blow up the signal that a
/// prior leaves in such a group.
struct AdvantageScaling {
    private let scale: AdvantageScale
    private let ddof: Int
    private let epsilon: Double
    private let batchDivisor: Double

    init(
        options: EstimationOptions, summaries: UnsafePointer<GroupSummary>, groupCount: Int, workspace: inout Workspace
    ) throws(Failure) {
        scale = options.scale
        ddof = options.ddof
        epsilon = options.epsilon
        batchDivisor = scale == .batch
            ? AdvantageScaling.batchDivisor(
                summaries, groupCount: groupCount, terms: try workspace.take(Double.self, count: groupCount),
                ddof: options.ddof, epsilon: options.epsilon)
            : 1
    }

    /// Standard deviation of all counted rewards of a batch, plus epsilon.
    private static func batchDivisor(
        _ summaries: UnsafePointer<GroupSummary>, groupCount: Int, terms: UnsafeMutablePointer<Double>, ddof: Int,
        epsilon: Double
    ) -> Double {
        var rewardCount = 0
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
            terms[group] = summary.sumHigh + summary.sumLow
            group &+= 1
        }
        if isConstant { return 1 }
        let mean = reproducibleSum(terms, count: groupCount) / Double(rewardCount)
        group = 0
        while group < groupCount {
            let summary = summaries[group]
            let deviation = summary.count > 0 ? summary.mean - mean : 0
            terms[group] = summary.sumOfSquares + Double(summary.count) * deviation * deviation
            group &+= 1
        }
        let sumOfSquares = reproducibleSum(terms, count: groupCount)
        return divisor(sumOfSquares: sumOfSquares, count: rewardCount, ddof: ddof, epsilon: epsilon)
    }

    @inline(__always)
    private static func divisor(sumOfSquares: Double, count: Int, ddof: Int, epsilon: Double) -> Double {
        if count < 2 || sumOfSquares <= 0 { return 1 }
        return (sumOfSquares / Double(count &- ddof)).squareRoot() + epsilon
    }

    @inline(__always)
    func divisor(of summary: GroupSummary) -> Double {
        switch scale {
        case .none: return 1
        case .batch: return batchDivisor
        case .group:
            return AdvantageScaling.divisor(
                sumOfSquares: summary.sumOfSquares, count: summary.count, ddof: ddof, epsilon: epsilon)
        }
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
        return AdvantageScaling.divisor(sumOfSquares: sumOfSquares, count: count, ddof: ddof, epsilon: epsilon)
    }
}
