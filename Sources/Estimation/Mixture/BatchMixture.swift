extension Mixture {
    /// Fitted on one batch.
    public init(_ batch: Batch, interval: Interval, workspace: inout Workspace) throws(Failure) {
        let summary = try BatchSummary(fitting: batch, for: .mixture, interval, workspace: &workspace)
        let calibration = try CalibrationFit(summary, workspace: &workspace).calibration
        self = try MixtureFit(summary, workspace: &workspace).mixture(calibration)
    }
}
