import CV05
import Estimation

@_cdecl("v05_calibration_fit") @implementation
public func v05_calibration_fit(
    _ batch: UnsafePointer<v05_batch>!, _ options: UnsafePointer<v05_estimation_options>!,
    _ workspace: UnsafeMutableRawPointer!, _ workspace_size: Int,
    _ calibration: UnsafeMutablePointer<v05_calibration>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let checked = try CheckedBatch(batch)
        let interval = try EstimationOptions(checking: options).interval
        let output = try CallerStruct(UnsafePointer(calibration), "calibration")
        var memory = try checked.memory(workspace, workspace_size)
        try output.claim(in: &memory, "calibration")
        try withWorkspace(workspace, workspace_size) { (workspace) throws(Failure) in
            let fit = try CalibrationFit(checked.view(), interval: interval, workspace: &workspace)
            output.write(v05_calibration(fit.calibration))
        }
    }
}

extension Calibration {
    init(checking caller: UnsafePointer<v05_calibration>) throws(Failure) {
        var value = v05_calibration()
        try CallerStruct(caller, "calibration").read(over: &value)
        self.init(value)
        try check()
    }

    init(_ value: v05_calibration) {
        self.init(
            intercept: value.intercept, slope: value.slope, priorVariance: value.prior_variance,
            rewardVariance: value.reward_variance, grandMean: value.grand_mean,
            betweenVariance: value.between_variance, groups: value.groups, totalGroups: value.total_groups)
    }
}

extension v05_calibration {
    init(_ calibration: Calibration) {
        self.init()
        struct_size = MemoryLayout<v05_calibration>.size
        intercept = calibration.intercept
        slope = calibration.slope
        prior_variance = calibration.priorVariance
        reward_variance = calibration.rewardVariance
        grand_mean = calibration.grandMean
        between_variance = calibration.betweenVariance
        groups = calibration.groups
        total_groups = calibration.totalGroups
    }
}
