import Estimation

extension AllocationProblem {
    /// Fills `counts`, whose sum is `total`. Only memory can run out, before anything is written.
    public func solve(_ counts: UnsafeMutablePointer<Int64>, workspace: inout Workspace) throws(Failure) {
        switch objective {
        case .dynamo:
            try DynamoAllocation(self, workspace: &workspace).solve(counts)
        case .v0:
            try UtilityAllocation(self).solve(counts, workspace: &workspace)
        case .neyman:
            try fill(
                counts, workspace: &workspace,
                rolloutsAbove: {
                    noiseDropsAbove($1, variance: variance($0), from: minimum, most: maximum &- minimum)
                },
                gain: { noiseDrop(variance: variance($0), after: $1) })
        case .v0Greedy:
            try fill(
                counts, workspace: &workspace,
                rolloutsAbove: { utilityGain($0).rolloutsAbove($1, from: minimum, most: largestExtra) },
                gain: { utilityGain($0).smallest(from: minimum, to: $1) })
        case .hit:
            let gains = try HitGains(self, workspace: &workspace)
            try fill(
                counts, workspace: &workspace,
                rolloutsAbove: { gains.rolloutsAbove($1, of: $0, most: largestExtra) },
                gain: { gains.after($1, of: $0) })
        }
    }

    /// The most that one prompt can get beyond the minimum.
    private var largestExtra: Int { min(maximum &- minimum, total &- count &* minimum) }

    private func utilityGain(_ prompt: Int) -> UtilityGain { UtilityGain(success: probability(prompt)) }

    /// E[p (1 - p)] under a Beta distribution worth `strength` rewards.
    private func variance(_ prompt: Int) -> Double {
        let p = probability(prompt)
        guard let strength = strength(prompt) else { return p * (1 - p) }
        return p * (1 - p) * (strength / (strength + 1))
    }

    private func fill(
        _ counts: UnsafeMutablePointer<Int64>, workspace: inout Workspace,
        rolloutsAbove: (_ prompt: Int, _ threshold: Double) -> Int,
        gain: (_ prompt: Int, _ rollouts: Int) -> Double
    ) throws(Failure) {
        var fill = try ConcaveFill(count: count, workspace: &workspace)
        let left = fill.spend(
            total &- count &* minimum, rolloutsAbove: rolloutsAbove,
            gain: { minimum &+ $1 < maximum ? gain($0, minimum &+ $1) : 0 })
        var prompt = 0
        while prompt < count {
            counts[prompt] = Int64(truncatingIfNeeded: minimum) &+ fill.given[prompt]
            prompt &+= 1
        }
        spreadEvenly(left, over: counts)
    }
}
