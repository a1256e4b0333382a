/// The calibration of one batch and the moments it came from.
public struct CalibrationFit {
    public let calibration: Calibration
    public let moments: RunningCalibration

    /// Of no batch at all.
    public static func empty(_ interval: Interval) -> CalibrationFit {
        let moments = RunningCalibration(interval: interval, discount: 1)
        return CalibrationFit(calibration: moments.calibration, moments: moments)
    }

    private init(calibration: Calibration, moments: RunningCalibration) {
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
        var moments = RunningCalibration(interval: interval, discount: 1)
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
