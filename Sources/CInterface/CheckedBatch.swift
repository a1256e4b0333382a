import CV05
import Estimation

/// A caller's batch whose pointers and lengths have been checked; its numbers have not.
struct CheckedBatch {
    let batch: v05_batch
    let rowCount: Int
    /// nil where groups come as ids.
    let groupCount: Int?

    init(_ caller: UnsafePointer<v05_batch>?) throws(Failure) {
        var batch = v05_batch()
        try CallerStruct(caller, "batch").read(over: &batch)
        self.batch = batch
        guard batch.row_count >= 0 && batch.row_count <= Int64(largestRowCount) else {
            throw Failure(
                .invalidSize, "row_count must lie in 0 to 2147483647",
                integer: Int(truncatingIfNeeded: batch.row_count))
        }
        rowCount = Int(truncatingIfNeeded: batch.row_count)
        let isEmpty = rowCount == 0
        if batch.rewards_f32 != nil && batch.rewards_f64 != nil {
            throw Failure(.invalidOption, "rewards must be given once: rewards_f32 or rewards_f64")
        }
        if batch.rewards_f32 == nil && batch.rewards_f64 == nil && !isEmpty {
            throw Failure(.nullPointer, "rewards must not be NULL: set rewards_f32 or rewards_f64")
        }
        if batch.group_ids != nil && batch.group_offsets != nil {
            throw Failure(.invalidOption, "groups must be given once: group_ids or group_offsets")
        }
        if batch.group_offsets != nil {
            guard batch.group_count >= 0 && batch.group_count <= Int64(largestRowCount) else {
                throw Failure(
                    .invalidSize, "group_count must lie in 0 to 2147483647",
                    integer: Int(truncatingIfNeeded: batch.group_count))
            }
            groupCount = Int(truncatingIfNeeded: batch.group_count)
        } else {
            if batch.group_ids == nil && !isEmpty {
                throw Failure(.nullPointer, "groups must not be NULL: set group_ids or group_offsets")
            }
            groupCount = nil
        }
    }

    /// - Parameter hasPriors: false for calls that do not look at them.
    func view(hasPriors: Bool = true) -> Batch {
        let groups: Batch.Groups
        if let groupCount, let offsets = batch.group_offsets {
            groups = .offsets(offsets, count: groupCount)
        } else {
            groups = .ids(batch.group_ids ?? unread())
        }
        var rewards = RewardColumn.double(batch.rewards_f64 ?? unread())
        if let single = batch.rewards_f32 { rewards = .single(single) }
        return Batch(
            rowCount: rowCount, rewards: rewards, groups: groups, priors: hasPriors ? batch.prior : nil,
            strengths: hasPriors ? batch.prior_strength : nil, mask: batch.mask, weights: batch.weights)
    }

    /// Its arrays, as inputs of a call that writes the workspace.
    func memory(_ workspace: UnsafeMutableRawPointer?, _ workspaceSize: Int) throws(Failure) -> CallMemory {
        let priors = groupCount ?? rowCount
        var memory = CallMemory()
        memory.reads(batch.rewards_f32, rowCount)
        memory.reads(batch.rewards_f64, rowCount)
        memory.reads(batch.group_ids, rowCount)
        memory.reads(batch.group_offsets, priors &+ 1)
        memory.reads(batch.prior, priors)
        memory.reads(batch.mask, rowCount)
        memory.reads(batch.prior_strength, priors)
        memory.reads(batch.weights, rowCount)
        try memory.writes(workspace, bytes: workspaceSize, "workspace")
        return memory
    }

    /// Stands for an array without elements.
    private func unread<Element>() -> UnsafePointer<Element> {
        withUnsafePointer(to: self) { UnsafeRawPointer($0).assumingMemoryBound(to: Element.self) }
    }
}
