import Estimation

extension SequentialAllocator {
    /// Baselines and advantages of all that was observed: rows in the order of arrival, groups are prompts by index.
    public func estimate(
        _ options: EstimationOptions, to output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) -> AppliedEstimation {
        var options = options
        options.interval = self.options.interval
        let rows = observationCount
        let offsets = try workspace.take(Int64.self, count: promptCount &+ 1)
        let priors = try workspace.take(Double.self, count: promptCount)
        let order = try workspace.take(Int64.self, count: rows)
        let rewards = try workspace.take(Double.self, count: rows)
        let weights = isWeighted ? try workspace.take(Double.self, count: rows) : nil
        let advantages = try workspace.take(Double.self, count: rows)
        sortByPrompt(offsets, order)
        var prompt = 0
        while prompt < promptCount {
            priors[prompt] = prior(prompt)
            prompt &+= 1
        }
        var row = 0
        while row < rows {
            rewards[Int(truncatingIfNeeded: order[row])] = observation(row).reward
            weights?[Int(truncatingIfNeeded: order[row])] = weight(row)
            row &+= 1
        }
        var sorted = output
        sorted.advantages = .double(advantages)
        sorted.rowGroup = nil
        let applied = try BatchEstimation.estimate(
            Batch(
                rowCount: rows, rewards: .double(rewards), groups: .offsets(offsets, count: promptCount),
                priors: priors,
                strengths: nil, mask: nil, weights: weights.map { UnsafePointer($0) }),
            options: options, calibration: calibration, mixture: mixture, to: sorted, workspace: &workspace)
        row = 0
        while row < rows {
            output.advantages?.write(advantages[Int(truncatingIfNeeded: order[row])], at: row)
            output.rowGroup?[row] = Int64(truncatingIfNeeded: observation(row).prompt)
            row &+= 1
        }
        return applied
    }

    /// Where each observation goes when they are sorted by prompt, and where each prompt's begin.
    private func sortByPrompt(_ offsets: UnsafeMutablePointer<Int64>, _ order: UnsafeMutablePointer<Int64>) {
        // offsets[prompt + 1] holds the next free place of a prompt, and is its end when all are placed.
        offsets[0] = 0
        var start: Int64 = 0
        var prompt = 0
        while prompt < promptCount {
            offsets[prompt &+ 1] = start
            start &+= Int64(count(prompt))
            prompt &+= 1
        }
        var row = 0
        while row < observationCount {
            let prompt = observation(row).prompt
            order[row] = offsets[prompt &+ 1]
            offsets[prompt &+ 1] &+= 1
            row &+= 1
        }
    }
}
