/// The calibration of one batch and the moments it came from.
public struct CalibrationFit {
    public let calibration: Calibration
    public let moments: RunningCalibration

    public init(_ batch: Batch, interval: Interval, workspace: inout Workspace) throws(Failure) {
        let summary = try BatchSummary(fitting: batch, for: .calibrated, interval, workspace: &workspace)
        try self.init(summary, workspace: &workspace)
    }

    static func workspaceSize(groupCount: Int) -> Int {
        2 &* AreaRegression.workspaceSize(groupCount: groupCount)
            &+ Workspace.size(of: Double.self, count: groupCount)
    }

    init(_ summary: BatchSummary, workspace: inout Workspace) throws(Failure) {
        let summaries = summary.groups
        let groupCount = summary.grouping.groupCount
        let interval = summary.options.interval
        var moments = RunningCalibration(interval: interval, discount: 1)
        let terms = try workspace.take(Double.self, count: groupCount)
        var withPrior = 0
        var total = 0
        var group = 0
        while group < groupCount {
            let summary = summaries[group]
            terms[group] = summary.unit * summary.sumOfSquares
            if summary.hasSpread {
                total &+= 1
                if !summary.prior.value.isNaN { withPrior &+= 1 }
            }
            group &+= 1
        }
        // Batches are added up, so that a typical rollout must count one.
        let meanWeight = summary.meanWeight
        moments.withinSquares = reproducibleSum(terms, count: groupCount) / meanWeight
        group = 0
        while group < groupCount {
            terms[group] =
                summaries[group].hasSpread ? summaries[group].unit * (summaries[group].effectiveCount - 1) : 0
            group &+= 1
        }
        moments.withinFreedom = reproducibleSum(terms, count: groupCount) / meanWeight
        moments.groups = Double(withPrior)
        moments.totalGroups = Double(total)
        moments.updates = 1

        let ridge = RunningCalibration.ridge(interval)
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

extension RunningCalibration {
    /// Adds a batch. Refuses one with which the sums would be too large to be taken again.
    public mutating func update(_ batch: Batch, workspace: inout Workspace) throws(Failure) {
        var updated = self
        updated.merge(try CalibrationFit(batch, interval: interval, workspace: &workspace).moments)
        try updated.check()
        self = updated
    }
}
