/// Sums over batches that a calibration can be solved from: fitted on one batch, or running, with older
/// batches discounted.
public struct RunningCalibration: Sendable {
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

    public mutating func merge(_ newer: RunningCalibration) {
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
        let line =
            regression.groups > 0
            ? regression.line(ridge: RunningCalibration.ridge(interval), hasSlope: true)
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

extension RunningCalibration {
    /// Itself, where `check` has nothing against it.
    public func checked() throws(Failure) -> RunningCalibration {
        try check()
        return self
    }

    /// Refuses numbers that no batch can have produced.
    @inline(never)
    public func check() throws(Failure) {
        guard discount >= 0 && discount <= 1 else {
            throw Failure(.invalidOption, "discount must lie in [0, 1]", real: discount)
        }
        let finite =
            withinSquares * 0 + withinFreedom * 0 + groups * 0 + totalGroups * 0
            + regression.finiteCheck + grand.finiteCheck
        let smallest = min(
            min(min(withinSquares, withinFreedom), min(groups, totalGroups)),
            min(regression.smallestSum, grand.smallestSum))
        guard finite == 0 && smallest >= 0 && updates >= 0 else {
            throw Failure(.invalidCalibration, "running must hold finite sums, none of squares or counts negative")
        }
        try calibration.check()
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
        try check()
    }
}
