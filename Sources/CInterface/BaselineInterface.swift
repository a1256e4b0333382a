import CV05
import Estimation

@_cdecl("v05_estimation_workspace_size") @implementation
public func v05_estimation_workspace_size(
    _ batch: UnsafePointer<v05_batch>!, _ options: UnsafePointer<v05_estimation_options>!,
    _ workspace_size: UnsafeMutablePointer<Int>!, _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let checked = try CheckedBatch(batch)
        let options = try EstimationOptions(checking: options)
        guard let workspace_size else { throw Failure(.nullPointer, "workspace_size must not be NULL") }
        workspace_size.pointee = BatchEstimation.workspaceSize(
            rowCount: checked.rowCount, groupCount: checked.groupCount, options: options,
            hasWeights: checked.batch.weights != nil)
    }
}

@_cdecl("v05_baseline_estimate") @implementation
public func v05_baseline_estimate(
    _ batch: UnsafePointer<v05_batch>!, _ options: UnsafePointer<v05_estimation_options>!,
    _ calibration: UnsafePointer<v05_calibration>!, _ mixture: UnsafePointer<v05_mixture>!,
    _ workspace: UnsafeMutableRawPointer!, _ workspace_size: Int, _ estimate: UnsafeMutablePointer<v05_estimate>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let checked = try CheckedBatch(batch)
        let choices = try EstimationOptions(checking: options)
        let given = try calibration.map { (caller) throws(Failure) in try Calibration(checking: caller) }
        let givenMixture = try mixture.map { (caller) throws(Failure) in try Mixture(checking: caller) } ?? .empty
        let output = try CallerEstimate(estimate)
        try output.check(checked, workspace, workspace_size)
        try withWorkspace(workspace, workspace_size) { (workspace) throws(Failure) in
            try withUnsafePointer(to: givenMixture) { (mixture) throws(Failure) in
                output.finish(
                    try BatchEstimation.estimate(
                        checked.view(), options: choices, calibration: given, mixture: mixture, to: output.view,
                        workspace: &workspace))
            }
        }
    }
}
