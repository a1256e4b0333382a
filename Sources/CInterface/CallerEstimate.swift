import CV05
import Estimation

/// The caller's struct of result arrays.
struct CallerEstimate {
    private let caller: CallerStruct<v05_estimate>
    private let calibration: CallerStruct<v05_calibration>?
    private let mixture: CallerStruct<v05_mixture>?
    let estimate: v05_estimate

    init(_ pointer: UnsafeMutablePointer<v05_estimate>?) throws(Failure) {
        caller = try CallerStruct(UnsafePointer(pointer), "estimate")
        var estimate = v05_estimate()
        caller.read(over: &estimate)
        self.estimate = estimate
        calibration =
            estimate.calibration == nil
            ? nil : try CallerStruct(UnsafePointer(estimate.calibration), "estimate.calibration")
        mixture =
            estimate.mixture == nil
            ? nil : try CallerStruct(UnsafePointer(estimate.mixture), "estimate.mixture")
    }

    func check(
        _ batch: CheckedBatch, _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: Int
    ) throws(Failure) {
        if (batch.batch.rewards_f32 != nil && estimate.advantages_f64 != nil)
            || (batch.batch.rewards_f64 != nil && estimate.advantages_f32 != nil)
        {
            throw Failure(.invalidOption, "advantages must be of the type of the rewards")
        }
        if estimate.group_capacity < 0 {
            throw Failure(
                .invalidSize, "group_capacity must not be negative",
                integer: Int(truncatingIfNeeded: estimate.group_capacity))
        }
        var memory = try batch.memory(workspace, workspaceSize)
        try claim(in: &memory, rowCount: batch.rowCount, groupCount: batch.groupCount ?? batch.rowCount)
    }

    /// - Parameter groupCount: the most that there can be.
    func claim(in memory: inout CallMemory, rowCount: Int, groupCount: Int) throws(Failure) {
        let groups = min(Int(truncatingIfNeeded: estimate.group_capacity), groupCount)
        try caller.claim(in: &memory, "estimate")
        try calibration?.claim(in: &memory, "estimate.calibration")
        try mixture?.claim(in: &memory, "estimate.mixture")
        try memory.writes(estimate.advantages_f32, rowCount, "advantages")
        try memory.writes(estimate.advantages_f64, rowCount, "advantages")
        try memory.writes(estimate.row_group, rowCount, "row_group")
        try memory.writes(estimate.group_ids, groups, "estimate.group_ids")
        try memory.writes(estimate.count, groups, "estimate.count")
        try memory.writes(estimate.effective_count, groups, "effective_count")
        try memory.writes(estimate.mean, groups, "mean")
        try memory.writes(estimate.prior, groups, "estimate.prior")
        try memory.writes(estimate.weight, groups, "weight")
        try memory.writes(estimate.baseline, groups, "baseline")
        try memory.writes(estimate.bias_squared, groups, "bias_squared")
        try memory.writes(estimate.mse, groups, "mse")
        try memory.writes(estimate.z, groups, "z")
        try memory.writes(estimate.p_value, groups, "p_value")
        try memory.writes(estimate.rejected, groups, "rejected")
        try memory.writes(estimate.constant, groups, "constant")
    }

    /// For results of rewards that are always double.
    func checkDoublePrecision() throws(Failure) {
        if estimate.advantages_f32 != nil {
            throw Failure(.invalidOption, "advantages must be of the type of the rewards")
        }
    }

    var view: EstimationOutput {
        var output = EstimationOutput()
        if let single = estimate.advantages_f32 {
            output.advantages = .single(single)
        } else if let double = estimate.advantages_f64 {
            output.advantages = .double(double)
        }
        output.rowGroup = estimate.row_group
        output.groupCapacity = Int(truncatingIfNeeded: estimate.group_capacity)
        output.groupIds = estimate.group_ids
        output.count = estimate.count
        output.effectiveCount = estimate.effective_count
        output.mean = estimate.mean
        output.prior = estimate.prior
        output.weight = estimate.weight
        output.baseline = estimate.baseline
        output.biasSquared = estimate.bias_squared
        output.mse = estimate.mse
        output.z = estimate.z
        output.pValue = estimate.p_value
        output.rejected = estimate.rejected
        output.constant = estimate.constant
        return output
    }

    func finish(_ applied: AppliedEstimation) {
        var result = estimate
        result.group_count = Int64(applied.groupCount)
        result.applied_rule = applied.rule.rawValue
        result.calibration_applied = applied.calibration == nil ? 0 : 1
        result.reward_low = applied.interval.low
        result.reward_high = applied.interval.high
        result.refused_groups = Int64(applied.refusedGroups)
        caller.write(result)
        if let used = applied.calibration { calibration?.write(v05_calibration(used)) }
        if let used = applied.calibration, let weights = applied.weights { mixture?.write(v05_mixture(used, weights)) }
    }
}
