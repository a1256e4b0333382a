/// Weighted moments of the pairs (prior, mean) of many groups: all that a straight line and its residual
/// variance need, so that batches can be merged and older ones discounted.
public struct RegressionMoments: Sendable {
    /// Sum of the weights; the weights of one batch have mean 1, so this is its number of groups.
    public var groups = 0.0
    public var meanPrior = 0.0
    public var meanReward = 0.0
    /// Sums of weighted squares and products of deviations from these means.
    public var priorPrior = 0.0
    public var priorReward = 0.0
    public var rewardReward = 0.0
    /// Sum of weight / k.
    public var inverseCount = 0.0

    public init() {}

    /// Least squares with the slope shrunk by `ridge` and kept in 0...1.5 (method section 5); level without
    /// `hasSlope`, or where two groups are all there is.
    @inline(never)
    func line(ridge: Double, hasSlope: Bool) -> RegressionLine {
        if !hasSlope || groups < 3 { return RegressionLine(intercept: meanReward, slope: 0) }
        let slope = max(0, min(priorReward / (priorPrior + ridge), 1.5))
        return RegressionLine(intercept: meanReward - slope * meanPrior, slope: slope)
    }

    /// Moment estimate of the variance around the line, beyond the sampling variance of the means.
    func variance(around line: RegressionLine, rewardVariance: Double, coefficients: Double) -> Double {
        let freedom = groups - coefficients
        if freedom < 1 { return 0 }
        let residuals = rewardReward - 2 * line.slope * priorReward + line.slope * line.slope * priorPrior
        return max(0, residuals / freedom - rewardVariance * inverseCount / groups)
    }

    /// The moments of both (Chan, Golub and LeVeque 1979), these ones discounted first.
    mutating func merge(_ newer: RegressionMoments, discount: Double) {
        groups *= discount
        priorPrior *= discount
        priorReward *= discount
        rewardReward *= discount
        inverseCount *= discount
        let total = groups + newer.groups
        if total <= 0 || newer.groups <= 0 { return }
        let share = newer.groups / total
        let priorStep = newer.meanPrior - meanPrior
        let rewardStep = newer.meanReward - meanReward
        let cross = groups * share
        priorPrior += newer.priorPrior + priorStep * priorStep * cross
        priorReward += newer.priorReward + priorStep * rewardStep * cross
        rewardReward += newer.rewardReward + rewardStep * rewardStep * cross
        inverseCount += newer.inverseCount
        meanPrior += priorStep * share
        meanReward += rewardStep * share
        groups = total
    }
}

public struct RegressionLine {
    let intercept: Double
    let slope: Double
}

extension RegressionMoments {
    var finiteCheck: Double {
        (groups + meanPrior + meanReward + priorPrior + priorReward + rewardReward + inverseCount) * 0
    }

    var smallestSum: Double { min(min(groups, priorPrior), min(rewardReward, inverseCount)) }

    func write(to writer: inout CheckpointWriter) {
        writer.write(groups)
        writer.write(meanPrior)
        writer.write(meanReward)
        writer.write(priorPrior)
        writer.write(priorReward)
        writer.write(rewardReward)
        writer.write(inverseCount)
    }

    init(from reader: inout CheckpointReader) {
        self.init()
        groups = reader.readDouble()
        meanPrior = reader.readDouble()
        meanReward = reader.readDouble()
        priorPrior = reader.readDouble()
        priorReward = reader.readDouble()
        rewardReward = reader.readDouble()
        inverseCount = reader.readDouble()
    }
}
