/// Sums over batches that a calibration can be solved from: fitted on one batch, or running, with older
/// batches discounted.
public struct CalibrationMoments: Sendable {
    public var interval: Interval
    /// Factor on everything older at each update, in 0...1.
    public var discount: Double
    public var updates = 0
    /// Pooled within the groups of two rewards or more: squared deviations and degrees of freedom.
    public var withinSquares = 0.0
    public var withinFreedom = 0.0
    /// Groups with a prior.
    public var regression = RegressionMoments()
    /// All groups.
    public var grand = RegressionMoments()
    public var groups = 0.0
    public var totalGroups = 0.0

    public init(interval: Interval, discount: Double) {
        self.interval = interval
        self.discount = discount
    }

    /// Keeps the slope from following a handful of nearly equal priors (method section 5).
    static func ridge(_ interval: Interval) -> Double { 0.2 * interval.halfRange * interval.halfRange }

    public mutating func merge(_ newer: CalibrationMoments) {
        withinSquares = discount * withinSquares + newer.withinSquares
        withinFreedom = discount * withinFreedom + newer.withinFreedom
        groups = discount * groups + newer.groups
        totalGroups = discount * totalGroups + newer.totalGroups
        regression.merge(newer.regression, discount: discount)
        grand.merge(newer.grand, discount: discount)
        updates &+= 1
    }

    public var rewardVariance: Double { withinFreedom > 0 ? withinSquares / withinFreedom : 0 }

    public var calibration: Calibration {
        let line = regression.groups > 0
            ? regression.line(ridge: CalibrationMoments.ridge(interval), hasSlope: true)
            : RegressionLine(intercept: interval.middle, slope: 0)
        return Calibration(
            intercept: line.intercept, slope: line.slope,
            priorVariance: regression.variance(around: line, rewardVariance: rewardVariance, coefficients: 2),
            rewardVariance: rewardVariance,
            grandMean: grand.groups > 0 ? grand.meanReward : interval.middle,
            betweenVariance: grand.variance(
                around: RegressionLine(intercept: grand.meanReward, slope: 0), rewardVariance: rewardVariance,
                coefficients: 1),
            groups: groups, totalGroups: totalGroups)
    }
}

/// The calibration of one batch and the moments it came from.
public struct CalibrationFit {
    public let calibration: Calibration
    public let moments: CalibrationMoments

    /// Of no batch at all.
    public static func empty(_ interval: Interval) -> CalibrationFit {
        let moments = CalibrationMoments(interval: interval, discount: 1)
        return CalibrationFit(calibration: moments.calibration, moments: moments)
    }

    private init(calibration: Calibration, moments: CalibrationMoments) {
        self.calibration = calibration
        self.moments = moments
    }

    static func workspaceSize(groupCount: Int) -> Int {
        2 &* AreaRegression.workspaceSize(groupCount: groupCount)
            &+ Workspace.size(of: Double.self, count: groupCount)
    }

    init(
        summaries: UnsafePointer<GroupSummary>, groupCount: Int, interval: Interval, workspace: inout Workspace
    ) throws(Failure) {
        var moments = CalibrationMoments(interval: interval, discount: 1)
        let squares = try workspace.take(Double.self, count: groupCount)
        var freedom = 0
        var withPrior = 0
        var total = 0
        var group = 0
        while group < groupCount {
            let summary = summaries[group]
            squares[group] = summary.sumOfSquares
            if summary.count >= 2 {
                freedom &+= summary.count &- 1
                total &+= 1
                if !summary.prior.value.isNaN { withPrior &+= 1 }
            }
            group &+= 1
        }
        moments.withinSquares = reproducibleSum(squares, count: groupCount)
        moments.withinFreedom = Double(freedom)
        moments.groups = Double(withPrior)
        moments.totalGroups = Double(total)
        moments.updates = 1

        let ridge = CalibrationMoments.ridge(interval)
        let regression = try AreaRegression(
            summaries: summaries, groupCount: groupCount, rewardVariance: moments.rewardVariance, ridge: ridge,
            hasSlope: true, workspace: &workspace
        ).fit()
        let grand = try AreaRegression(
            summaries: summaries, groupCount: groupCount, rewardVariance: moments.rewardVariance, ridge: ridge,
            hasSlope: false, workspace: &workspace
        ).fit()
        moments.regression = regression.moments
        moments.grand = grand.moments
        self.moments = moments

        // The variances of one batch come from the residuals themselves, which lose nothing to cancellation.
        var calibration = moments.calibration
        calibration.priorVariance = regression.variance
        calibration.betweenVariance = grand.variance
        self.calibration = calibration
    }
}

extension CalibrationMoments {
    /// Refuses numbers that no batch can have produced.
    public func checked() throws(Failure) -> CalibrationMoments {
        guard discount >= 0 && discount <= 1 else {
            throw Failure(.invalidOption, "discount must lie in [0, 1]", real: discount)
        }
        let finite = withinSquares * 0 + withinFreedom * 0 + groups * 0 + totalGroups * 0
            + regression.finiteCheck + grand.finiteCheck
        let smallest = min(
            min(min(withinSquares, withinFreedom), min(groups, totalGroups)), min(regression.smallestSum, grand.smallestSum))
        guard finite == 0 && smallest >= 0 && updates >= 0 else {
            throw Failure(.invalidCalibration, "running must hold finite sums, none of squares or counts negative")
        }
        try calibration.check()
        return self
    }

    /// Bytes of `write`.
    public static let savedSize: Int = 8 &* (8 &+ 2 &* 7)

    public func write(to writer: inout CheckpointWriter) {
        writer.write(interval.low)
        writer.write(interval.high)
        writer.write(discount)
        writer.write(UInt64(truncatingIfNeeded: updates))
        writer.write(withinSquares)
        writer.write(withinFreedom)
        writer.write(groups)
        writer.write(totalGroups)
        regression.write(to: &writer)
        grand.write(to: &writer)
    }

    public init(from reader: inout CheckpointReader) throws(Failure) {
        let interval = try reader.readInterval()
        self.init(interval: interval, discount: reader.readDouble())
        updates = Int(truncatingIfNeeded: reader.read(UInt64.self))
        withinSquares = reader.readDouble()
        withinFreedom = reader.readDouble()
        groups = reader.readDouble()
        totalGroups = reader.readDouble()
        regression = RegressionMoments(from: &reader)
        grand = RegressionMoments(from: &reader)
        try reader.finish()
        self = try checked()
    }
}

extension RegressionMoments {
    fileprivate var finiteCheck: Double {
        (groups + meanPrior + meanReward + priorPrior + priorReward + rewardReward + inverseCount) * 0
    }

    fileprivate var smallestSum: Double { min(min(groups, priorPrior), min(rewardReward, inverseCount)) }

    fileprivate func write(to writer: inout CheckpointWriter) {
        writer.write(groups)
        writer.write(meanPrior)
        writer.write(meanReward)
        writer.write(priorPrior)
        writer.write(priorReward)
        writer.write(rewardReward)
        writer.write(inverseCount)
    }

    fileprivate init(from reader: inout CheckpointReader) {
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
